"""`flask backup`: backups made, looked at, checked and removed from the command line."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
from flask.cli import AppGroup

from cli.printing import moment, printable
from domain.access import operator
from domain.backups.commands import record_checked, record_made, record_removed, summary
from domain.backups.errors import BackupCorrupt
from domain.backups.manifest import BackupType, Manifest
from domain.backups.queries import get_backup, list_backups
from domain.backups.vault import Finding, Progress, Wish
from domain.pagination import PageRequest
from web.backups import vault
from web.db import writing

backup = AppGroup("backup", help="Backups of the database: made while the portal works, put together again before they count.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
backup_id = click.argument("backup_id", metavar="ID", type=click.UUID)
NEWEST = 100


@backup.command("create")
@click.option("--incremental", is_flag=True, help="Only what changed since the newest verified one (SQLite).")
@click.option("--description", help="Kept with it.")
@as_json
def create(incremental: bool, description: str | None, as_json: bool) -> None:
    """Make a backup now. It is kept only if, put together again, it is what was copied.

    \b
    Example: flask backup create --incremental --description "Before the update"
    """
    who = operator()
    wish = Wish(uuid4(), BackupType.INCREMENTAL if incremental else BackupType.FULL, description, who.name)
    vault().check_wish(wish)
    with progress_bar("Backing up", as_json) as progress:
        made = vault().create(wish, progress)
    with writing() as session:
        record_made(session, who, made)
    if as_json:
        click.echo(json.dumps(facts(made)))
        return
    click.echo(f"Backup {made.id}: {made.effective_type}, {size(made.stored_bytes)} for a database of {size(made.database_bytes)}.")
    if made.note:
        click.echo(made.note)
    click.echo(f"Verified: {made.verified.what if made.verified else 'no'}.")
    if not made.encrypted:
        click.echo("It is not encrypted: `flask backup key FILE` makes a key for BACKUP_KEY_FILE.", err=True)


@backup.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show the backups, newest first.

    \b
    Example: flask backup list --json
    """
    page = list_backups(operator(), vault(), PageRequest(page_size=NEWEST))
    unreadable = vault().damaged()
    if as_json:
        rows = [facts(manifest) for manifest in page]
        click.echo(json.dumps({"backups": rows, "total": page.total_items, "unreadable": list(unreadable)}))
        return
    for manifest in page:
        state = "not verified" if manifest.verified is None else "verified" if manifest.verified.ok else "DAMAGED"
        cells = [
            str(manifest.id),
            moment(manifest.snapshot_at) or "",
            f"{manifest.effective_type:<11}",
            f"{size(manifest.stored_bytes):>10}",
        ]
        click.echo(printable("  ".join([*cells, f"{state:<12}", manifest.description or ""])).rstrip())
    for name in unreadable:
        click.echo(f"{name}  its manifest cannot be read, or was signed with another key", err=True)
    if not page.items and not unreadable:
        click.echo("There is no backup yet: flask backup create")


@backup.command("verify")
@backup_id
@as_json
def verify(backup_id: UUID, as_json: bool) -> None:
    """Put a backup together again from what is stored, with all that it stands on, and compare. Exit 1 if it is damaged.

    \b
    Example: flask backup verify 550e8400-e29b-41d4-a716-446655440000
    """
    who = operator()
    get_backup(who, vault(), backup_id)
    try:
        with progress_bar("Verifying", as_json) as progress:
            found = vault().verify(backup_id, progress)
    except BackupCorrupt:
        with writing() as session:
            record_checked(session, who, get_backup(who, vault(), backup_id))
        raise
    with writing() as session:
        record_checked(session, who, found)
    assert found.verified is not None
    click.echo(json.dumps(facts(found)) if as_json else f"Backup {found.id} is whole: {found.verified.what}.")


@backup.command("prune")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@as_json
def prune(dry_run: bool, as_json: bool) -> None:
    """Remove all but the newest seven full backups and what stands on them. The newest verified one always stays.

    \b
    Example: flask backup prune --dry-run
    """
    gone = vault().prune(dry_run=dry_run)
    if not dry_run:
        with writing() as session:
            for manifest in gone:
                record_removed(session, operator(), manifest)
    if as_json:
        click.echo(json.dumps({"removed": [str(manifest.id) for manifest in gone], "dry_run": dry_run}))
        return
    for manifest in gone:
        click.echo(f"{manifest.id}  {moment(manifest.snapshot_at)}  {size(manifest.stored_bytes)}")
    click.echo(f"{len(gone)} {'would be' if dry_run else 'are'} removed.")


@backup.command("check")
@as_json
def check(as_json: bool) -> None:
    """Say whether all that backups need is there: programs, space, key, and a verified one of the last day. Exit 1 if not.

    \b
    Example: flask backup check
    """
    findings = vault().examine()
    if as_json:
        click.echo(json.dumps({"ok": all(finding.ok for finding in findings), "checks": [vars(finding) for finding in findings]}))
    else:
        for finding in findings:
            click.echo(line(finding))
    if not all(finding.ok for finding in findings):
        click.get_current_context().exit(1)


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


@contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress]:
    """On a terminal a bar with the stage beside it; elsewhere nothing."""
    with click.progressbar(length=100, label=label, file=sys.stderr, hidden=quiet or not sys.stderr.isatty(), item_show_func=str) as bar:
        shown = 0

        def told(percent: float, stage: str) -> None:
            nonlocal shown
            if int(percent) > shown:
                bar.update(int(percent) - shown, stage)
                shown = int(percent)

        yield told
        bar.update(100 - shown, "")


def facts(manifest: Manifest) -> dict[str, Any]:
    return summary(manifest) | {
        "id": str(manifest.id),
        "description": manifest.description,
        "created_by": manifest.created_by,
        "parent_id": manifest.parent_id and str(manifest.parent_id),
        "duration_seconds": round(manifest.duration_seconds, 1),
        "schema_revision": manifest.schema_revision,
    }


def line(finding: Finding) -> str:
    word = "ok" if finding.ok else "warn"
    return f"{word:<6}{finding.name:<15}{finding.found}" + (f"\n{'':21}{finding.advice}" if finding.advice and not finding.ok else "")


def size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
