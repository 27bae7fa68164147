"""`flask archiver`: the process that keeps what changes between backups, where the database is a SQLite file."""

import logging
import signal
from pathlib import Path
from threading import Event

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.engine import make_url

from adapters.backups.archive.process import archive
from adapters.backups.archive.store import Store
from adapters.backups.sealing import read_key
from config import Config

log = logging.getLogger(__name__)


@click.command("archiver")
@with_appcontext
def archiver() -> None:
    """Keep what changes between backups, so that any moment can be restored, until TERM or INT. On PostgreSQL it only waits.

    \b
    Example: flask archiver
    """
    settings: Config = current_app.config["PORTAL"]
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        log.info("PostgreSQL keeps what changes by itself: there is nothing to do here")
        stopping.wait()
        return
    archive(Path(url.database or ""), Store(settings.backup_dir, read_key(settings.backup_key_file)), stopping)
