"""One job: its life in words, what it was told and what came of it."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app, g, url_for

from domain.access import Permission
from domain.jobs.models import Job, JobEvent, JobStatus
from domain.jobs.queries import JobDetail
from domain.jobs.types import RESTORE, type_of
from portal.formats import day
from portal.jobs import wording
from portal.jobs.listing import line

EVENTS = {
    "claimed": ("A worker took it", "play", "info"),
    "handed_back": ("Put back to be run again", "rotate-cw", ""),
    "lost": ("Its worker was lost", "triangle-alert", "warning"),
    "succeeded": ("Succeeded", "circle-check", "success"),
    "failed": ("Failed", "circle-x", "danger"),
    "cancelled": ("Cancelled", "ban", ""),
    "file_expired": ("Its file was removed: it had been kept for its time", "trash-2", ""),
}
LONGEST_VALUE = 2000
MOST_ITEMS = 20
LOG_TAIL = 100


def detail_context(detail: JobDetail) -> dict[str, Any]:
    job = detail.job
    retry_of = as_id(job.payload.get("retry_of"))
    return {
        "job": job,
        "line": line(detail),
        "now_url": url_for("portal.jobs.now_one", job_id=job.id),
        "under_way": not job.finished or (job.status == JobStatus.CANCELLED and job.cancel_acknowledged_at is None),
        "parameters": [(words(name), value(given)) for name, given in job.payload.items() if name not in ("retry_of", "refund_id")],
        "result": facts(job.result or {}),
        "file": file_words(job),
        "file_gone": job.result_expired_at is not None,
        "verdicts": verdicts((job.result or {}).get("verdicts")),
        "error": job.error if job.status == JobStatus.FAILED else None,
        "timeline": timeline(detail),
        "log": [{"at": wording.clock(event.at), "message": event.message or ""} for event in detail.events if event.event == "log"][
            -LOG_TAIL:
        ],
        "retry_of": {"url": url_for("portal.jobs.show", job_id=retry_of), "short": str(retry_of)[:8]} if retry_of else None,
        "refund_url": refund_url(as_id(job.payload.get("refund_id"))),
        "backup_url": backup_url(as_id((job.result or {}).get("backup_id") or job.payload.get("backup_id"))),
        "restore_url": restore_url(job),
        "stays": None
        if type_of(job.type).cancellable or job.finished
        else "A job of this type always comes to its end: it cannot be cancelled.",
    }


def facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What came of it, item by item; counts of several kinds each by itself."""
    plain = {name: given for name, given in result.items() if name not in ("verdicts", "counts")}
    counts = result.get("counts")
    return [(words(name), value(given)) for name, given in {**plain, **(counts if isinstance(counts, dict) else {})}.items()]


def file_words(job: Job) -> str | None:
    """Until when its file can be had, or since when no more; None for a job that made none."""
    days = current_app.config["PORTAL"].job_retention_days
    name, kept = job.result_name or "The file", f"{days} day{'' if days == 1 else 's'}"
    if job.result_expired_at is not None:
        return f"{name} was removed on {day(job.result_expired_at)}: files are kept for {kept}."
    if job.result_file is None or job.finished_at is None:
        return None
    return f"{name} is kept for {kept}, until {day(job.finished_at + timedelta(days=days))}."


def verdicts(given: object) -> list[dict[str, str]]:
    """What a bulk decision came to, refund by refund."""
    found = []
    for verdict in given if isinstance(given, list) else []:
        refund_id = as_id(verdict.get("refund_id"))
        found.append(
            {
                "number": str(verdict.get("refund_number") or str(refund_id)[:8]),
                "url": url_for("portal.refunds.show", refund_id=refund_id) if refund_id else "",
                "word": words(str(verdict.get("verdict", ""))),
                "message": str(verdict.get("message") or ""),
            }
        )
    return found


def as_id(text: object) -> UUID | None:
    try:
        return UUID(str(text)) if text else None
    except ValueError:
        return None


def refund_url(refund_id: UUID | None) -> str | None:
    if refund_id is None or not g.actor.can(Permission.REFUNDS_LIST):
        return None
    return url_for("portal.refunds.show", refund_id=refund_id)


def backup_url(backup_id: UUID | None) -> str | None:
    return url_for("portal.backups.show", backup_id=backup_id) if backup_id and sees_backups() else None


def restore_url(job: Job) -> str | None:
    restore_id = job.id if job.type == RESTORE.name else as_id(job.payload.get("restore_id"))
    return url_for("portal.restores.show", restore_id=restore_id) if restore_id and sees_backups() else None


def sees_backups() -> bool:
    return bool(g.actor.can(Permission.SYSTEM_BACKUP) or g.actor.can(Permission.SYSTEM_RESTORE))


def words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def value(given: Any) -> str:
    """A parameter as people read it; long lists are told by their length and their first items."""
    if given is None:
        return "—"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, list):
        shown = ", ".join(value(item) for item in given[:MOST_ITEMS])
        return f"{shown} and {len(given) - MOST_ITEMS} more" if len(given) > MOST_ITEMS else shown or "none"
    if isinstance(given, dict):
        return json.dumps(given, ensure_ascii=False)[:LONGEST_VALUE]
    return str(given)[:LONGEST_VALUE]


def timeline(detail: JobDetail) -> list[dict[str, Any]]:
    """Newest first, down to how it was started. What the work itself told is the log, not the timeline."""
    told = [happened(event, detail) for event in detail.events if event.event != "log"]
    created = detail.job.created_at
    begun = {
        "word": "Started" if detail.creator_name else "Written down",
        "icon": "plus",
        "tone": "",
        "at": created,
        "clock": wording.to_the_second(created),
    }
    return [*reversed(told), {**begun, "by": detail.creator_name or "the system", "note": None}]


def happened(event: JobEvent, detail: JobDetail) -> dict[str, Any]:
    word, icon, tone = EVENTS.get(event.event, (words(event.event), "info", ""))
    by = detail.cancelled_by_name if event.event == "cancelled" else None
    note = None if event.event == "claimed" else event.message
    return {"word": word, "icon": icon, "tone": tone, "by": by, "note": note, "at": event.at, "clock": wording.to_the_second(event.at)}
