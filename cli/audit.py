"""`flask audit`: is the record whole?"""

import json
import re
import sys

import click
from flask.cli import AppGroup
from sqlalchemy.exc import NoResultFound, SQLAlchemyError

from domain.access import operator
from domain.audit import checks
from domain.audit.verification import Finding, Link, get_head, verify
from domain.db import read_only
from web.db import db, writing

audit = AppGroup("audit", help="The record of who did what.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


class NotedLink(click.ParamType[Link]):
    name = "NUMBER:HASH"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Link:
        if not (match := re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", value)):
            self.fail(f"{value!r} is not a number and a hash, as `flask audit head` prints them.", param, ctx)
        return Link(int(match[1]), match[2])


@audit.command("verify")
@click.option("--noted", type=NotedLink(), help="An end of the chain that was printed earlier: shows whether entries were cut off since.")
@as_json
def verify_(noted: Link | None, as_json: bool) -> None:
    """Compute every link of the audit log anew, and name the first that does not hold.

    Ends with 0 where the log is whole and with 1 where it is broken. What was found becomes an entry of the log.

    \b
    Example: flask audit verify
             flask audit verify --noted 1204:5f0c...
    """
    shown = sys.stderr.isatty() and not as_json
    with read_only():
        length = get_length()
        with click.progressbar(length=length, label="Verifying", file=sys.stderr, hidden=not shown) as bar:
            finding = verify(db.session(), operator(), noted, lambda done, of: bar.update(min(done, length) - bar.pos))
    keep(finding)
    if as_json:
        broken = {"sequence": finding.broken.sequence, "what": finding.broken.what} if finding.broken else None
        head = {"sequence": finding.head.sequence, "hash": finding.head.hash}
        click.echo(json.dumps({"whole": finding.whole, "entries": finding.entries, "head": head, "broken": broken}))
    if finding.broken:
        raise click.ClickException(
            f"The audit log is broken at entry {finding.broken.sequence}: {finding.broken.what}. The {finding.entries} before it hold."
        )
    if not as_json:
        click.echo(f"The audit log is whole: {finding.entries} entries. Its end, to be noted elsewhere:")
        click.echo(finding.head)


def get_length() -> int:
    """How long the bar is. Its transaction ends here: the verification begins one of its own."""
    try:
        return get_head(db.session()).sequence
    except NoResultFound:
        return 0
    finally:
        db.session.rollback()


def keep(finding: Finding) -> None:
    """Add it to the log, unless nothing can be added: then it is still to be told."""
    try:
        with writing() as session:
            checks.record(session, operator(), finding)
    except SQLAlchemyError as error:
        click.echo(f"Warning: the finding could not be added to the log ({type(error).__name__}).", err=True)


@audit.command("head")
@as_json
def head(as_json: bool) -> None:
    """Print the end of the audit log, to be noted where nobody who can write to the database can.

    \b
    Example: flask audit head >> /mnt/elsewhere/audit-heads
    """
    with read_only():
        found = get_head(db.session())
    click.echo(json.dumps({"sequence": found.sequence, "hash": found.hash}) if as_json else found)
