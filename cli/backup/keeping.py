"""`flask backup list`, `verify`, `check` and `prune`."""

import json
from uuid import UUID

import click

from cli.backup.group import as_json, backup, backup_id
from cli.backup.showing import facts, line, on_disk, progress_bar, size
from cli.printing import moment, printable
from domain.access import operator
from domain.backups.commands import record_checked, record_entered, record_removed
from domain.backups.errors import BackupCorrupt
from domain.backups.queries import get_backup, list_backups
from domain.backups.standing import State, find_standing
from domain.pagination import PageRequest
from web.backups import vault
from web.db import writing

NEWEST = 100
WORDS = {State.VERIFIED: "verified", State.UNVERIFIED: "not verified", State.DAMAGED: "DAMAGED", State.CUT_OFF: "CUT OFF"}


@backup.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show the backups, newest first.

    \b
    Example: flask backup list --json
    """
    page = list_backups(operator(), vault(), PageRequest(page_size=NEWEST))
    unreadable, disk = vault().damaged(), on_disk(vault())
    states = find_standing(vault()).states
    if as_json:
        rows = [facts(manifest) | {"state": str(states.get(manifest.id, State.UNVERIFIED))} for manifest in page]
        listed = {"backups": rows, "total": page.total_items, "unreadable": list(unreadable), "disk_bytes": disk}
        click.echo(json.dumps(listed))
        return
    for manifest in page:
        state = WORDS[states.get(manifest.id, State.UNVERIFIED)]
        cells = [
            str(manifest.id),
            moment(manifest.snapshot_at) or "",
            f"{manifest.effective_type:<11}",
            f"{size(manifest.stored_bytes):>10}",
        ]
        click.echo(printable("  ".join([*cells, f"{state:<12}", manifest.description or ""])).rstrip())
    for name in unreadable:
        click.echo(f"{name}  its manifest cannot be read, or was signed with another key", err=True)
    if page.items:
        parts = ", ".join(f"{part} {size(found)}" for part, found in disk.items() if found)
        click.echo(f"On disk: {size(sum(disk.values()))} ({parts})")
    for reason in page.summary["reasons"].values():
        click.echo(reason, err=True)
    if not page.items and not unreadable and not page.summary["reasons"]:
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
    """Remove all but the newest seven full backups, the newest verified one of each of seven days, and what stands on them.

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


@backup.group("catalog")
def catalog() -> None:
    """The list of backups: one signed manifest beside each backup's folder, and a copy in it."""


@catalog.command("rebuild")
@as_json
def rebuild(as_json: bool) -> None:
    """Enter again the backups whose manifest was lost or is damaged, from the copy among their files. Exit 1 if one cannot be.

    \b
    Example: flask backup catalog rebuild
    """
    rebuilt = vault().rebuild_catalog()
    with writing() as session:
        for manifest in rebuilt.entered:
            record_entered(session, operator(), manifest)
    if as_json:
        entered = [str(manifest.id) for manifest in rebuilt.entered]
        click.echo(json.dumps({"entered": entered, "refused": dict(rebuilt.refused), "total": len(vault().list())}))
    else:
        for manifest in rebuilt.entered:
            click.echo(f"{manifest.id}  {moment(manifest.snapshot_at)}  is in the catalog again")
        for name, reason in rebuilt.refused.items():
            click.echo(f"{name}  {reason}", err=True)
        click.echo(f"{len(vault().list())} are in the catalog.")
    if rebuilt.refused:
        click.get_current_context().exit(1)
