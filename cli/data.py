"""`flask data`: what the portal works on."""

import json
import sys
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup

from config import Config
from domain.access import operator
from domain.marketplace import demo
from domain.marketplace.importing import FileCount, Folder, import_folder, open_folder
from web import refunds
from web.auth import identity
from web.db import db, writing

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
        counts = import_folder(session, operator(), found, bar.update)
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


@data.command("demo")
@click.option(
    "--refunds",
    "count",
    type=click.IntRange(demo.FEWEST, 20_000),
    default=500,
    show_default=True,
    help="How many refund requests to make up.",
)
@click.option("--if-empty", is_flag=True, help="Do nothing, and end well, where the database is in use.")
@as_json
def demo_(count: int, if_empty: bool, as_json: bool) -> None:
    """Fill an empty database with a made-up marketplace, and admins to try the portal with. A second run changes nothing.

    The sign-ins are printed and kept in DATA_DIR/demo-sign-ins.json. Everybody who has this program knows them: never for
    production.

    \b
    Example: flask data demo --refunds 200
    """
    settings: Config = current_app.config["PORTAL"]
    if settings.production:
        raise click.ClickException("The demo's passwords are public, so it is not loaded where APP_ENV=production.")
    made = load_demo(settings, count, if_empty)
    if made is None and not demo.is_loaded(db.session()):
        click.echo("This database is in use, so the demo is not loaded.", err=True)
        return
    file = write_sign_ins(settings)
    if as_json:
        click.echo(json.dumps({"loaded": made is not None, "made": made or {}, "sign_ins": sign_ins()}, ensure_ascii=False))
        return
    click.echo(f"The demo is loaded, with {made['refunds']} refunds." if made else "The demo is there already; nothing was changed.")
    for row in sign_ins():
        click.echo("  ".join(filter(None, row.values())))
    click.echo(f"Also in {file}")


def load_demo(settings: Config, count: int, if_empty: bool) -> dict[str, int] | None:
    """What was made; None where nothing was, since the demo is there already, or other data with `if_empty`."""
    with writing() as session:
        if demo.is_loaded(session) or (if_empty and not demo.is_empty(session)):
            return None
        tools = demo.Tools(identity().passwords, identity().sealer, refunds.policy(), refunds.gateways()["sandbox"])
        return demo.load(session, operator(), tools, count)


def sign_ins() -> list[dict[str, str]]:
    return [
        {"email": known.email, "password": known.password, "role": known.role_id, "authenticator secret": known.totp_secret or ""}
        for known in demo.SIGN_INS
    ]


def write_sign_ins(settings: Config) -> Path:
    file = settings.data_dir / "demo-sign-ins.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(sign_ins(), indent=1) + "\n")
    return file
