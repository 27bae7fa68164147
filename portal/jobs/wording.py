"""What jobs are called on the pages: their states, what each is about, and what came of it."""

from datetime import date, datetime, timedelta
from typing import Any

from flask import url_for

from domain.access import Actor, Permission
from domain.db import now
from domain.exports.making import EXPORTS
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import JobRow
from domain.jobs.types import type_of
from portal.formats import day, number, zone
from portal.wording import Look

STATUSES = {
    JobStatus.PENDING: Look("Pending", "neutral", "circle-dashed"),
    JobStatus.PROCESSING: Look("Processing", "info", "loader-circle"),
    JobStatus.SUCCEEDED: Look("Succeeded", "success", "circle-check"),
    JobStatus.FAILED: Look("Failed", "danger", "circle-x"),
    JobStatus.CANCELLED: Look("Cancelled", "neutral", "ban"),
}
ICONS = {
    "analytics_export": "file-spreadsheet",
    "audit_export": "file-spreadsheet",
    "audit_verify": "shield-check",
    "backup": "database",
    "backup_verify": "shield-check",
    "restore": "undo-2",
    "restore_check": "refresh-cw",
    "bulk_operation": "list-checks",
    "notification": "mail",
    "refund_processing": "receipt-text",
    "refund_reconcile": "refresh-cw",
    "cleanup": "brush-cleaning",
}
NOTICES = {
    "refund_approved": "Refund approved",
    "refund_rejected": "Refund rejected",
    "refund_failed": "Refund payment failed",
    "second_approval_wanted": "Second approval wanted",
    "admin_invited": "Invitation",
    "backups_failing": "Backups are failing",
    "backups_well": "Backups are well again",
}
AUDIENCES = {"user": "to the customer", "vendor": "to the vendor", "admin": "to an admin", "invited": "to a new admin"}


def icon_of(job: Job) -> str:
    return ICONS.get(job.type, "layers")


def subject(job: Job) -> str:
    """What this one is about: RF-2026-001187; Refunds, 1–31 Oct 2026, CSV."""
    told = job.payload
    if job.type in EXPORTS:
        what = "Audit log" if job.type == "audit_export" else str(told.get("report_type", "")).capitalize()
        return ", ".join(part for part in (what, period(told), str(told.get("format", "")).upper()) if part)
    if job.type == "bulk_operation":
        count = len(told.get("refund_ids") or [])
        return f"{str(told.get('action', 'decide')).capitalize()} {number(count)} {'refund' if count == 1 else 'refunds'}"
    if job.type == "notification":
        words = NOTICES.get(str(told.get("notice")), "Message")
        return f"{words}, {told['refund_number']}" if told.get("refund_number") else words
    if job.type == "backup":
        return ", ".join(str(part) for part in (str(told.get("backup_type", "")).capitalize(), told.get("description")) if part)
    if job.type == "restore" and told.get("undone_id"):
        return f"Takes back restore {str(told['undone_id'])[:8]}"
    if job.type == "restore_check":
        return f"Restore {str(told.get('restore_id', ''))[:8]}"
    if job.type in ("backup_verify", "restore"):
        return f"Backup {str(told.get('backup_id', ''))[:8]}"
    if told.get("refund_number"):
        return str(told["refund_number"])
    return "By the portal itself" if job.creator_id is None else ""


def period(told: dict[str, Any]) -> str:
    first, last = day_of(told.get("from")), day_of(told.get("to"))
    if first and last:
        if first == last:
            return f"{first:%-d %b %Y}"
        if (first.year, first.month) == (last.year, last.month):
            return f"{first.day}–{last:%-d %b %Y}"
        return f"{first:%-d %b}{'' if first.year == last.year else f' {first.year}'} – {last:%-d %b %Y}"
    if first:
        return f"from {first:%-d %b %Y}"
    return f"until {last:%-d %b %Y}" if last else "all dates"


def day_of(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None


def outcome(row: JobRow) -> str:
    """The progress column in words: what a job waits for, how it ended."""
    job = row.job
    if job.status == JobStatus.PENDING:
        return waiting(job)
    if job.status == JobStatus.PROCESSING:
        return "\N{MIDDLE DOT}".join(f" {part} " for part in (job.stage or "Started", left(row.eta_seconds)) if part).strip()
    if job.status == JobStatus.SUCCEEDED:
        return result_words(job)
    if job.status == JobStatus.CANCELLED:
        if job.cancel_acknowledged_at is None:
            return "Cancelled, its worker is stopping"
        return f"Stopped at {job.progress_percent}%" if job.started_at else "Before it started"
    if job.progress_percent:
        return f"Stopped at {job.progress_percent}%"
    return str((job.error or {}).get("code") or "failed").replace("_", " ").capitalize()


def waiting(job: Job) -> str:
    if job.run_after > now() + timedelta(seconds=5):
        when = f"Runs {'again ' if job.attempts else ''}at {clock(job.run_after)}"
        return f"{when}: {job.stage}" if job.stage else when
    return job.stage or "Waits for a worker"


def result_words(job: Job) -> str:
    told: dict[str, Any] = job.result or {}
    if job.type == "audit_verify":
        return f"Whole, {counted(told.get('entries'), 'entry', 'entries')}"
    if job.type == "backup":
        return ", ".join(part for part in ("Verified" if told.get("verified") else "Made", size(told.get("bytes"))) if part)
    if job.type == "backup_verify":
        return "Whole"
    if job.type == "restore":
        return f"{counted(told.get('refunds_carried'), 'refund')} kept as they were"
    if job.type in EXPORTS:
        return ", ".join(part for part in (counted(told.get("rows"), "row"), size(told.get("bytes")), expired(job)) if part) or "Done"
    if job.type == "bulk_operation":
        return figures(told.get("counts") or {}, most=4)
    if job.type == "refund_processing":
        sent = told.get("transaction_id")
        return f"Sent, {sent}" if sent else "Done"
    if job.type == "notification":
        return "Sent" if told.get("sent", True) else f"Not sent: {told.get('reason') or 'no longer needed'}"
    if job.type == "refund_reconcile":
        return f"{counted(told.get('looked_at'), 'refund') or 'Nothing'} looked up"
    return figures(told, most=3)


def expired(job: Job) -> str:
    return f"file removed {day(job.result_expired_at)}" if job.result_expired_at is not None else ""


def figures(told: dict[str, Any], most: int) -> str:
    """What a result counts, in its own words: 40 paid, 2 needs second approver."""
    counts = [(name, count) for name, count in told.items() if isinstance(count, int) and not isinstance(count, bool) and count]
    return ", ".join(f"{number(count)} {name.replace('_', ' ')}" for name, count in counts[:most]) or "Done"


def counted(value: object, noun: str, nouns: str = "") -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return ""
    return f"{number(value)} {noun if value == 1 else nouns or noun + 's'}"


def size(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return ""
    if value < 1000:
        return f"{value} B"
    if value < 1_000_000:
        return f"{value / 1000:.0f} kB"
    return f"{value / 1_000_000:.1f} MB" if value < 1_000_000_000 else f"{value / 1_000_000_000:.1f} GB"


def took(job: Job) -> str:
    """How long it has been worked on; nothing for one that never was."""
    if job.started_at is None:
        return "—"
    return span((job.finished_at or now()) - job.started_at) if job.status != JobStatus.PENDING else "—"


def span(length: timedelta) -> str:
    seconds = max(length.total_seconds(), 0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def left(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(round(seconds / 5) * 5, 5)} s left"
    return f"about {round(seconds / 60)} min left" if seconds < 5400 else f"about {round(seconds / 3600)} h left"


def to_the_second(at: datetime) -> str:
    return f"{day(at)}, {clock(at)}"


def clock(at: datetime) -> str:
    return f"{at.astimezone(zone()):%H:%M:%S}"


def acts(actor: Actor, job: Job) -> list[dict[str, str]]:
    """What this person may do with it now, the most likely first. The commands decide again."""
    kind = type_of(job.type)
    own = job.creator_id is not None and job.creator_id == actor.admin_id
    may_start = all(actor.can(permission) for permission in kind.permissions(job.payload))
    found = []
    if not job.finished:
        if kind.cancellable and job.irrevocable_at is None and (own or actor.can(Permission.JOBS_CANCEL)):
            found.append(act("cancel", "Cancel", "circle-stop", job))
        return found
    if job.result_file is not None and may_start:
        found.append(act("result", "Result", "download", job))
    if job.status == JobStatus.FAILED and kind.run_again and may_start and (own or actor.can(Permission.JOBS_RETRY)):
        found.append(act("retry", "Run again", "rotate-cw", job))
    if own or actor.can(Permission.JOBS_DELETE):
        found.append(act("delete", "Delete", "trash-2", job))
    return found


def act(name: str, word: str, icon: str, job: Job) -> dict[str, str]:
    endpoint = f"portal.jobs.{name}" if name == "result" else f"portal.jobs.{name}_form"
    return {"name": name, "word": word, "icon": icon, "url": url_for(endpoint, job_id=job.id)}
