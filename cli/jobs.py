"""`flask jobs`: background jobs, watched and mended from the command line."""

import json
import logging
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from cli.printing import moment, printable
from domain.access import operator
from domain.db import read_only
from domain.jobs import commands, queries
from domain.jobs.models import JobStatus
from domain.jobs.queries import JobDetail, JobFilters, JobRow
from domain.jobs.types import JOB_TYPES
from domain.storage import StorageError
from web.db import db
from web.jobs import storage

log = logging.getLogger(__name__)

jobs = AppGroup("jobs", help="Background jobs: what waits, runs and failed.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
job_id = click.argument("job_id", metavar="ID", type=click.UUID)


@jobs.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice([str(status) for status in JobStatus]), help="May be repeated.")
@click.option("--type", "types", multiple=True, type=click.Choice(list(JOB_TYPES)), help="May be repeated.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True, help="How many at most.")
@as_json
def list_(statuses: tuple[str, ...], types: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show jobs, newest first, and how many there are in each state.

    \b
    Example: flask jobs list --status failed --type notification --limit 50
    """
    with read_only():
        page = queries.list_jobs(db.session(), operator(), JobFilters(status=statuses, type=types, page_size=limit))
    if as_json:
        rows = [facts(row) for row in page]
        click.echo(json.dumps({"jobs": rows, "total": page.total_items, "summary": page.summary}, ensure_ascii=False))
        return
    for row in page:
        click.echo(line(row))
    click.echo(", ".join(f"{count} {status}" for status, count in page.summary.items()))


@jobs.command("show")
@job_id
@as_json
def show(job_id: UUID, as_json: bool) -> None:
    """Show one job: what it was asked for, what came of it, and the lines of its life.

    \b
    Example: flask jobs show 550e8400-e29b-41d4-a716-446655440000
    """
    with read_only():
        detail = queries.get_job(db.session(), operator(), job_id)
    if as_json:
        click.echo(json.dumps(everything(detail), ensure_ascii=False))
        return
    for name, value in everything(detail).items():
        if value not in (None, [], {}) and name != "events":
            click.echo(f"{name:<22}{printable(value)}")
    for event in detail.events:
        click.echo(f"{moment(event.at)}  {event.event:<12}{printable(event.message or '')}".rstrip())


@jobs.command("cancel")
@job_id
@click.option("--reason", help="Kept with the job and in the audit log.")
@as_json
def cancel(job_id: UUID, reason: str | None, as_json: bool) -> None:
    """Cancel a job that waits or runs; its worker stops within a second.

    \b
    Example: flask jobs cancel 550e8400-e29b-41d4-a716-446655440000 --reason "Started twice"
    """
    job = commands.cancel(db.session(), operator(), job_id, reason=reason)
    db.session.commit()
    say({"id": str(job.id), "status": str(job.status)}, f"{job.type} {job.id} is cancelled.", as_json)


@jobs.command("delete")
@job_id
@as_json
def delete(job_id: UUID, as_json: bool) -> None:
    """Delete a finished job and its result file.

    \b
    Example: flask jobs delete 550e8400-e29b-41d4-a716-446655440000
    """
    job = commands.delete(db.session(), operator(), job_id)
    db.session.commit()
    if job.result_file is not None:
        try:
            storage().delete(job.result_file)
        except StorageError as error:
            log.warning("the result of a deleted job stays until the next clean-up: %s", error)
    say({"id": str(job.id), "deleted": True}, f"{job.type} {job.id} is deleted.", as_json)


@jobs.command("retry")
@job_id
@as_json
def retry(job_id: UUID, as_json: bool) -> None:
    """Run a failed job once more, as a new job.

    \b
    Example: flask jobs retry 550e8400-e29b-41d4-a716-446655440000
    """
    again = commands.retry(db.session(), operator(), job_id)
    db.session.commit()
    say({"id": str(again.id), "status": str(again.status), "retry_of": str(job_id)}, f"{again.type} {again.id} is asked for.", as_json)


def say(told: dict[str, object], sentence: str, as_json: bool) -> None:
    click.echo(json.dumps(told) if as_json else sentence)


def line(row: JobRow) -> str:
    job = row.job
    state = f"{job.status} {job.progress_percent} %" if job.status == JobStatus.PROCESSING else str(job.status)
    about = str(job.error["message"]) if job.error else job.stage or ""
    cells = [str(job.id), moment(job.created_at) or "", f"{job.type:<18}", f"{state:<16}", row.creator_name or "System", about]
    return printable("  ".join(cells)).rstrip()


def facts(row: JobRow) -> dict[str, Any]:
    job = row.job
    creator = None if job.creator_id is None else {"id": str(job.creator_id), "name": row.creator_name}
    return {
        "id": str(job.id),
        "type": job.type,
        "status": str(job.status),
        "progress_percent": job.progress_percent,
        "stage": job.stage,
        "creator": creator,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "attempts": job.attempts,
        "error": job.error,
        "metadata": job.payload,
    }


def everything(detail: JobDetail) -> dict[str, Any]:
    job = detail.job
    return facts(detail) | {
        "eta_seconds": detail.eta_seconds,
        "run_after": moment(job.run_after),
        "workers_lost": job.losses,
        "held_by": job.lease_owner,
        "held_until": moment(job.lease_until),
        "cancelled_at": moment(job.cancelled_at),
        "cancelled_by": detail.cancelled_by_name,
        "cancel_reason": job.cancel_reason,
        "cancel_acknowledged_at": moment(job.cancel_acknowledged_at),
        "result": job.result,
        "result_name": job.result_name,
        "result_expired_at": moment(job.result_expired_at),
        "events": [{"at": moment(event.at), "event": event.event, "message": event.message} for event in detail.events],
    }
