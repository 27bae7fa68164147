"""`flask audit`: is the record whole?"""

import json
import re

import click
from flask.cli import AppGroup

from domain.access import operator
from domain.audit.verification import Link, verify
from domain.db import read_only
from web.db import db

audit = AppGroup("audit", help="The record of who did what.")


class NotedLink(click.ParamType):
    name = "NUMBER:HASH"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Link:
        if not (match := re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", value)):
            self.fail(f"{value!r} is not a number and a hash, as an earlier `flask audit verify` printed them.", param, ctx)
        return Link(int(match[1]), match[2])


@audit.command("verify")
@click.option("--noted", type=NotedLink(), help="An end of the chain that was printed earlier: shows whether entries were cut off since.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def verify_(noted: Link | None, as_json: bool) -> None:
    """Compute every link of the audit log anew, and name the first that does not hold.

    \b
    Example: flask audit verify
             flask audit verify --noted 1204:5f0c...
    """
    with read_only():
        finding = verify(db.session(), operator(), noted)
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
        click.echo(f"{finding.head.sequence}:{finding.head.hash}")
