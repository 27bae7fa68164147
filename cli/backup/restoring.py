"""`flask backup restore`, `rollback`, `recover`, `report` and `acknowledge`."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import click
from flask import current_app
from sqlalchemy.orm import sessionmaker

from cli.backup.group import as_json, backup, backup_id
from cli.backup.showing import progress_bar
from cli.printing import moment, printable
from domain.access import operator
from domain.db import now
from domain.restores import commands, queries
from domain.restores.checking import compare
from domain.restores.commands import told
from domain.restores.models import Restore
from domain.restores.queries import Preview
from domain.restores.restorer import Order
from web.backups import restorer, vault
from web.db import db, writing

restore_id = click.argument("restore_id", metavar="RESTORE_ID", type=click.UUID)
yes = click.option("--yes", is_flag=True, help="Do not ask for the confirmation code.")


class Moment(click.ParamType[Any]):
    """A time with its zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
            moment = found.astimezone(UTC) if found.tzinfo else None
        except (ValueError, OverflowError):
            moment = None
        if moment is None:
            self.fail(f"{value!r} is no time with its zone: write it as in 2025-11-12T10:00:00Z.", param, ctx)
        return moment


@backup.command("restore")
@backup_id
@click.option("--at", type=Moment(), help="Another moment than the backup's own, after it: 2025-11-12T10:00:00Z.")
@click.option("--without-uploads", is_flag=True, help="Leave the files of the storage as they are: none is read or brought back.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@yes
@as_json
def restore(backup_id: UUID, at: datetime | None, without_uploads: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Put a backup in place of the live data. Money, the audit log, used codes and ended sessions stay as they are.

    \b
    Example: flask backup restore 550e8400-e29b-41d4-a716-446655440000 --at 2025-11-12T10:00:00Z
    """
    who = operator()
    seen = queries.preview(db.session(), who, vault(), restorer(), backup_id, at)
    db.session.rollback()
    if dry_run:
        click.echo(json.dumps(plain(seen)) if as_json else words(seen))
        return
    if not yes:
        ask_for(seen.code, words(seen))
    target = commands.moment_of(seen.manifest, at)
    order = Order(uuid4(), who.name, backup_id=backup_id, moment=target, uploads=not without_uploads)
    with progress_bar("Restoring", as_json) as progress:
        restorer().restore(order, progress, lambda: None)
    show(order.id, as_json)


@backup.command("rollback")
@restore_id
@yes
@as_json
def rollback(restore_id: UUID, yes: bool, as_json: bool) -> None:
    """Put back what a restore replaced: it is kept for 72 hours. What must not go back in time stays as it is now.

    \b
    Example: flask backup rollback 550e8400-e29b-41d4-a716-446655440000
    """
    who = operator()
    found = queries.get_restore(db.session(), who, restorer(), restore_id)
    code = commands.rollback_code_for(found.restore)
    db.session.rollback()
    if not yes:
        ask_for(code, f"This will replace the current data with those that the restore of {moment(found.restore.swapped_at)} replaced.")
    order = Order(uuid4(), who.name, undone_id=restore_id)
    with progress_bar("Rolling back", as_json) as progress:
        restorer().roll_back(order, progress, lambda: None)
    show(order.id, as_json)


@backup.command("recover")
@as_json
def recover(as_json: bool) -> None:
    """Say on which side of the swap a restore stands whose process died, and clean up after it. Does nothing where there is none.

    \b
    Example: flask backup recover
    """
    sides = restorer().recover()
    if sides:
        with writing() as session:
            commands.record_recovered(session, operator(), [(side.restore_id, side.swapped, side.step) for side in sides])
    if as_json:
        rows = [{"restore_id": str(side.restore_id), "swapped": side.swapped, "step": side.step} for side in sides]
        click.echo(json.dumps({"recovered": rows}))
        return
    for side in sides:
        what = "the restored data are live" if side.swapped else "the live data are as they were before it"
        click.echo(f"Restore {side.restore_id} was interrupted while {side.step}: {what}.")
    if not sides:
        click.echo("No restore was interrupted.")


@backup.command("report")
@restore_id
@click.option("--compare", "again", is_flag=True, help="Ask the gateways about the refunds now, here; else a worker does it.")
@as_json
def report(restore_id: UUID, again: bool, as_json: bool) -> None:
    """Show what a restore carried forward and left out, and what the gateways say of the refunds.

    \b
    Example: flask backup report 550e8400-e29b-41d4-a716-446655440000 --compare
    """
    if again:
        queries.get_restore(db.session(), operator(), restorer(), restore_id)
        db.session.rollback()
        sessions = sessionmaker(db.engine, expire_on_commit=False)  # the threads that ask have no application of their own
        with progress_bar("Comparing", as_json) as progress:
            asked = current_app.extensions["gateways"]
            compare(sessions.begin, asked, restore_id, lambda done, total: progress(100 * done / max(total, 1), ""))
    show(restore_id, as_json)


@backup.command("acknowledge")
@restore_id
@click.option("--note", help="How you made sure of refunds that a gateway could not tell of, or tells otherwise.")
@as_json
def acknowledge(restore_id: UUID, note: str | None, as_json: bool) -> None:
    """Say that the report of a restore was read: refunds are approved and paid again.

    \b
    Example: flask backup acknowledge 550e8400-e29b-41d4-a716-446655440000
    """
    with writing() as session:
        commands.acknowledge(session, operator(), restore_id, note=note)
    show(restore_id, as_json)


def ask_for(code: str, consequences: str) -> None:
    click.echo(consequences, err=True)
    if click.prompt(f"Type {code} to go on", err=True).strip() != code:
        raise click.ClickException("That is not the code: nothing was changed.")


def show(restore_id: UUID, as_json: bool) -> None:
    db.session.remove()
    db.engine.dispose()  # on PostgreSQL the swap has ended every connection
    found = queries.get_restore(db.session(), operator(), restorer(), restore_id)
    if as_json:
        report = found.restore.report
        read_at = found.restore.acknowledged_at
        more = {"uploads": found.restore.uploads, "report": report, "acknowledged_at": read_at and commands.utc(read_at)}
        left_out = [{"table": row.table_name, "row": row.contents, "reason": row.reason} for row in found.left_out]
        click.echo(json.dumps({**told(found.restore), "carried": found.restore.carried["rows"], "left_out": left_out, **more}))
        return
    click.echo(said(found.restore))
    for row in found.left_out:
        click.echo(printable(f"Left out of {row.table_name}: {row.contents} ({row.reason})"))


def said(restore: Restore) -> str:
    lines = [
        f"{restore.kind.title()} {restore.id}: the data are those of {moment(restore.reached_at)}.",
        f"{restore.carried['refunds']} refunds that were decided for since stay as they were; {restore.left_out} rows did not fit.",
    ]
    if restore.uploads is not None:
        lines.append(f"Stored files: {restore.uploads['added']} brought back, {restore.uploads['changed']} changed since and left so.")
        lines += [printable(f"  could not be brought back: {name}") for name in restore.uploads["missing_names"]]
        lines += [printable(f"  stopped: {restore.uploads['problem']}")] if restore.uploads["problem"] else []
    if restore.report is None:
        lines.append("The refunds are not compared with the gateways yet: a worker does it, or `flask backup report ID --compare`.")
    else:
        counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in restore.report.items() if isinstance(count, int))
        lines.append(f"Compared with the gateways: {counts}.")
        named = [line for line in restore.report["refunds"] if line["ruling"] != "agrees"]
        lines += [printable(f"  {line['refund_number']}  {line['ruling']}  {line['message'] or ''}").rstrip() for line in named]
        for line in restore.report.get("noted_refunds", []):
            paid = f"{line['gateway']} has paid {line['amount_cents']} minor units of {line['currency']}"
            lines.append(printable(f"  {line['transaction_id']}  noted  {paid} of payment {line['payment_id']}"))
        lines += [printable(f"  Not all that was paid since could be listed: {why}") for why in restore.report.get("unread", [])]
    if restore.acknowledged_at is None:
        lines.append(f"No refund is approved or paid until somebody has read this: flask backup acknowledge {restore.id}")
    if restore.kept_until is not None and restore.kept_until > now():
        lines.append(f"Until {moment(restore.kept_until)} it can be taken back: flask backup rollback {restore.id}")
    return "\n".join(lines)


def words(seen: Preview) -> str:
    what = "exactly as it is" if seen.exactly else f"and what came after it until {moment(seen.moment)}"
    lines = [f"Backup {seen.manifest.id} of {moment(seen.manifest.snapshot_at)}, {what}."]
    for change in seen.changes:
        then = "" if change.rows_then is None else f", {change.rows_then} then"
        lines.append(f"  {change.table:<16} {change.rows_now} rows now{then}")
    lines += [
        f"Goes: {seen.requests_that_go} refund requests and {seen.rejections_that_go} rejections since then, and what else changed.",
        f"Stays: {seen.refunds_that_stay} refunds decided for since then, the audit log, admins, roles, sessions and jobs.",
        "Afterwards no refund is approved or paid until the report is acknowledged.",
        f"It takes about {seen.estimated_seconds} s.",
    ]
    return "\n".join(lines)


def plain(seen: Preview) -> dict[str, Any]:
    return {
        "backup_id": str(seen.manifest.id),
        "moment": commands.utc(seen.moment),
        "confirmation_code": seen.code,
        "tables": {change.table: {"now": change.rows_now, "then": change.rows_then} for change in seen.changes},
        "requests_that_go": seen.requests_that_go,
        "rejections_that_go": seen.rejections_that_go,
        "refunds_that_stay": seen.refunds_that_stay,
        "estimated_seconds": seen.estimated_seconds,
        "dry_run": True,
    }
