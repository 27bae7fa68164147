"""`flask data`: what the portal works on."""

import json
import sys
from pathlib import Path

import click
from flask.cli import AppGroup

from domain.access import operator
from domain.marketplace.importing import FileCount, Folder, import_folder, open_folder
from web.db import writing

data = AppGroup("data", help="What the portal works on: the marketplace's records.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


@data.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@as_json
def import_(folder: Path, as_json: bool) -> None:
    """Take in the CSV files of DIR: all of them or, at the first fault, none. A second run changes nothing.

    It reads users.csv, vendors.csv, bookings.csv, payments.csv, refund_requests.csv and referrals.csv, each also as
    .csv.gz; docs/data.md describes their columns.

    \b
    Example: flask data import exports/2025-01-31
    """
    found = open_folder(folder)
    shown = sys.stderr.isatty() and not as_json
    with (
        click.progressbar(length=found.size, label="Importing", file=sys.stderr, hidden=not shown) as bar,
        writing() as session,
    ):
        counts = import_folder(session(), operator(), found, bar.update)
    if as_json:
        click.echo(json.dumps(facts(found, counts), ensure_ascii=False))
    else:
        report(found, counts)


def facts(folder: Folder, counts: list[FileCount]) -> dict[str, object]:
    return {
        "files": {
            count.name: {"file": count.file, "new": count.new, "already_there": count.already_there}
            for count in counts
            if count.file is not None
        },
        "missing": folder.missing,
        "ignored": folder.ignored,
    }


def report(folder: Folder, counts: list[FileCount]) -> None:
    for count in counts:
        if count.file is None:
            click.echo(f"{count.name}: no such file here, and nothing needed it")
        else:
            click.echo(f"{count.file}: {count.new} new, {count.already_there} already there")
    for name in folder.ignored:
        click.echo(f"{name}: not imported, it is none of the six files", err=True)
