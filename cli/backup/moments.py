"""`flask backup coverage`: the moments that can be restored."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from cli.backup.group import as_json, backup
from cli.backup.showing import on_disk, size
from domain.backups.manifest import plain
from domain.backups.vault import Archiving, Part, Span
from domain.db import now
from web.backups import vault


@backup.command("coverage")
@as_json
def coverage(as_json: bool) -> None:
    """Show which moments can be restored: the spans, what lies between them, and whether what changes now is kept.

    \b
    Example: flask backup coverage --json
    """
    spans, archiving, archive = vault().coverage(), vault().archiving(), on_disk(vault())[Part.ARCHIVE]
    if as_json:
        click.echo(json.dumps({**facts(spans, archiving), "archive_bytes": archive}))
        return
    for number, span in enumerate(spans):
        if number:
            click.echo(f"    nothing until {plain(span.start)}")
        click.echo(plain(span.start) if span.start == span.end else f"{plain(span.start)} to {plain(span.end)}")
    if not spans:
        click.echo("No moment can be reached: there is no backup. Make one: flask backup create")
    if archive:
        click.echo(f"The archive of changes takes up {size(archive)}.")
    if archiving is None:
        click.echo("Only backups themselves can be restored here: nothing is kept of what changes between them.")
    elif not archiving.running:
        click.echo("What changes now is not kept: no archiver runs (flask archiver).", err=True)


def facts(spans: Sequence[Span], archiving: Archiving | None) -> dict[str, Any]:
    return {
        "spans": [{"from": plain(span.start), "to": plain(span.end)} for span in spans],
        "gaps": [{"from": plain(before.end), "to": plain(after.start)} for before, after in pairwise(spans)],
        "earliest": plain(spans[0].start) if spans else None,
        "latest": plain(spans[-1].end) if spans else None,
        "archiver": archiving
        and {
            "running": archiving.running,
            "until": plain(archiving.until),
            "behind_seconds": archiving.until and round(max((now() - archiving.until).total_seconds(), 0), 2),
        },
    }
