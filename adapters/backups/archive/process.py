"""The archiver as a process: one at a time, beginning again after whatever can pass, until it is told to stop."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event

from adapters.backups.archive.store import Store
from adapters.backups.archive.watching import TICK_SECONDS, LostTrack, watching
from domain.db import address_of
from domain.errors import DomainError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0


def archive(database: Path, store: Store, stopping: Event) -> None:
    told = ""
    while not stopping.is_set():
        try:
            with store.to_itself() as alone:
                if alone and is_there(database):
                    watch_on(database, store, stopping)
                    continue
            why = f"{database} is not there yet, or has no write-ahead log" if alone else "another archiver runs"
        except OSError as error:  # the portal goes on without it, and it goes on by itself when the folder can be used again
            why = f"nothing is archived, since nothing can be written in {store.folder} ({error.strerror})"
        if why != told:
            log.warning("%s: waiting", why)
            told = why
        stopping.wait(TICK_SECONDS)


def is_there(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(address_of(database, "mode=rw"), uri=True)) as connection:
            return bool(connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")
    except sqlite3.Error:
        return False


def watch_on(database: Path, store: Store, stopping: Event) -> None:
    """What stops it is logged, and seen by whoever looks at how far the archive goes; it lets go of the log meanwhile, so that a full
    disk of backups never becomes a full disk of the database."""
    while not stopping.is_set():
        try:
            with watching(database, store) as watch:
                watch.run(stopping)
        except (OSError, sqlite3.Error, LostTrack, DomainError) as error:
            log.error("nothing is archived, and again from the beginning in %g s: %s", AGAIN_SECONDS, error)
            stopping.wait(AGAIN_SECONDS)
