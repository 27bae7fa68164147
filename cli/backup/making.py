"""`flask backup create` and `key`."""

import json
import os
from pathlib import Path
from uuid import uuid4

import click

from cli.backup.group import as_json, backup
from cli.backup.showing import facts, of_uploads, progress_bar, size
from domain.access import operator
from domain.backups.commands import record_made
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from web.backups import vault
from web.db import writing


@backup.command("create")
@click.option("--incremental", is_flag=True, help="Only what changed since the newest verified one (SQLite).")
@click.option("--uploads", is_flag=True, help="With the files of the storage.")
@click.option("--description", help="Kept with it.")
@as_json
def create(incremental: bool, uploads: bool, description: str | None, as_json: bool) -> None:
    """Make a backup now. It is kept only if, put together again, it is what was copied.

    \b
    Example: flask backup create --incremental --description "Before the update"
    """
    who = operator()
    wish = Wish(uuid4(), BackupType.INCREMENTAL if incremental else BackupType.FULL, description, who.name, uploads=uploads)
    vault().check_wish(wish)
    with progress_bar("Backing up", as_json) as progress:
        made = vault().create(wish, progress)
    with writing() as session:
        record_made(session, who, made)
    if as_json:
        click.echo(json.dumps(facts(made)))
        return
    click.echo(f"Backup {made.id}: {made.effective_type}, {size(made.stored_bytes)} for a database of {size(made.database_bytes)}.")
    if made.uploads is not None:
        click.echo(of_uploads(made.uploads))
    if made.note:
        click.echo(made.note)
    click.echo(f"Verified: {made.verified.what if made.verified else 'no'}.")
    if not made.encrypted:
        click.echo("It is not encrypted: `flask backup key FILE` makes a key for BACKUP_KEY_FILE.", err=True)


@backup.command("key")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def key(file: Path) -> None:
    """Make a key for BACKUP_KEY_FILE, in a new FILE. Keep a copy elsewhere: without it nobody can open the backups.

    \b
    Example: flask backup key /etc/portal/backup.key
    """
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be made: {error.strerror}. Name a new file in a folder that may be written.") from None
    with os.fdopen(descriptor, "w") as made:
        made.write(f"# public key: {identity.to_public()}\n{identity}\n")
    click.echo(f"BACKUP_KEY_FILE={file.absolute()}")
    click.echo("Keep a copy where the backups are not: without it nobody can open them.", err=True)
