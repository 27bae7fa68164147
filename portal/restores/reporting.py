"""One restore as its page tells it: on its way, given up, or with the report of what came of it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import g, url_for

from domain.access import Permission
from domain.audit.queries import list_for_object
from domain.jobs.models import JobStatus
from domain.jobs.queries import JobRow
from domain.restores.asked import get_asked
from domain.restores.checking import Ruling
from domain.restores.errors import RestoreNotFound
from domain.restores.models import Kind, Quarantined, Restore
from domain.restores.queries import Detail, get_restore
from portal import timelines
from portal.backups.listing import job_url
from portal.formats import number
from portal.jobs import listing as jobs
from portal.jobs.wording import span
from portal.restores.asking import in_utc
from portal.wording import Look
from web.backups import restorer
from web.db import db

RULINGS = {
    Ruling.DIFFERS: Look("Differs", "danger", "triangle-alert"),
    Ruling.UNCERTAIN: Look("Uncertain", "warning", "hourglass"),
    Ruling.TAKEN_OVER: Look("Found paid", "info", "banknote"),
    Ruling.AGREES: Look("Agrees", "success", "circle-check"),
    Ruling.NOTHING_FOUND: Look("Nothing found", "neutral", "circle-dashed"),
}
MEANINGS = {
    Ruling.DIFFERS: "Paid by our books, and the gateway says otherwise",
    Ruling.UNCERTAIN: "The gateway could not tell",
    Ruling.TAKEN_OVER: "Paid, and the restored data did not know it: now they do",
    Ruling.AGREES: "Paid by our books and by the gateway's",
    Ruling.NOTHING_FOUND: "Not paid: the gateway has no order of ours",
}
KINDS = {Kind.RESTORE: "Restore", Kind.ROLLBACK: "Rollback"}
NAMES = ("refund_number", "booking_number", "email", "name", "provider_payment_id", "key", "id")
"""The fields that a row is called by, the best first."""


def context(restore_id: UUID) -> dict[str, Any]:
    try:
        detail = get_restore(db.session(), g.actor, restorer(), restore_id)
    except RestoreNotFound:
        return asked_context(get_asked(db.session(), g.actor, restore_id))
    return report_context(detail)


def asked_context(row: JobRow) -> dict[str, Any]:
    """Of a restore that is on its way, or that never came to be."""
    job = row.job
    undone = job.payload.get("undone_id")
    return {
        "title": KINDS[Kind.ROLLBACK if undone else Kind.RESTORE],
        "short": str(job.id)[:8],
        "restore": None,
        "operation": {**jobs.line(row), "url": job_url(job)},
        "under_way": not job.finished,
        "failed": job.status == JobStatus.FAILED,
        "backup_url": backup_url(job.payload.get("backup_id")),
        "undone_url": url_for("portal.restores.show", restore_id=undone) if undone else None,
        "live": not job.finished,
        "now_url": url_for("portal.restores.now", restore_id=job.id),
    }


def report_context(detail: Detail) -> dict[str, Any]:
    restore, report = detail.restore, detail.restore.report
    named = refunds(report)
    return {
        "title": KINDS[Kind(restore.kind)],
        "short": str(restore.id)[:8],
        "restore": restore,
        "operation": jobs.line(JobRow(detail.checking, None)) if detail.checking else None,
        "under_way": detail.checking is not None,
        "frozen": restore.acknowledged_at is None,
        "may_acknowledge": restore.acknowledged_at is None and report is not None,
        "can_roll_back": detail.can_roll_back,
        "facts": facts(restore),
        "in_utc": in_utc,
        "lag": lag(restore),
        "counts": counts(report),
        "noted": (report or {}).get("noted_refunds", []),
        "noted_count": (report or {}).get("noted", 0),
        "unread": (report or {}).get("unread", []),
        "refunds": [line for line in named if line["ruling"] != Ruling.AGREES],
        "agreeing": [line for line in named if line["ruling"] == Ruling.AGREES],
        "unnamed": max((report or {}).get("looked_at", 0) - len(named) - (report or {}).get(Ruling.NOTHING_FOUND, 0), 0),
        "carried": [(table.replace("_", " "), number(rows)) for table, rows in sorted(restore.carried.get("rows", {}).items()) if rows],
        "left_out": [left_out_line(row) for row in detail.left_out],
        "left_out_more": restore.left_out - len(detail.left_out),
        "files": restore.uploads,
        "files_said": files_said(restore.uploads),
        "backup_url": backup_url(restore.backup_id),
        "safety_url": backup_url(restore.safety_backup_id),
        "undone_url": url_for("portal.restores.show", restore_id=restore.undone_id) if restore.undone_id else None,
        "timeline": timelines.timeline(list_for_object(db.session(), Restore, restore.id)) if g.actor.can(Permission.AUDIT_LIST) else [],
        "live": detail.checking is not None,
        "now_url": url_for("portal.restores.now", restore_id=restore.id),
    }


def backup_url(backup_id: object) -> str | None:
    return url_for("portal.backups.show", backup_id=backup_id) if backup_id else None


def facts(restore: Restore) -> list[tuple[str, str]]:
    frozen = None if restore.frozen_ms is None else span(timedelta(milliseconds=restore.frozen_ms))
    return [
        ("Asked for by", restore.requested_by),
        ("Took", span(restore.swapped_at - restore.started_at)),
        ("Writers waited", frozen or "It was not measured"),
        ("Refunds kept as they were", number(restore.carried.get("refunds", 0))),
    ]


def lag(restore: Restore) -> str | None:
    """By how much what was reached falls short of what was asked for."""
    if restore.target_at is None or restore.reached_at >= restore.target_at:
        return None
    return span(restore.target_at - restore.reached_at)


def counts(report: dict[str, Any] | None) -> list[dict[str, Any]]:
    if report is None:
        return []
    return [{"look": look, "meaning": MEANINGS[ruling], "count": number(report.get(ruling, 0))} for ruling, look in RULINGS.items()]


def refunds(report: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The refunds that are named, what wants a look first."""
    order = [str(ruling) for ruling in RULINGS]
    named = sorted((report or {}).get("refunds", []), key=lambda line: order.index(line["ruling"]))
    sees = g.actor.can(Permission.REFUNDS_LIST)
    return [
        {
            **line,
            "look": RULINGS[Ruling(line["ruling"])],
            "url": url_for("portal.refunds.show", refund_id=line["refund_id"]) if sees else None,
        }
        for line in named
    ]


FILES = {
    "added": "brought back",
    "same": "were there as they were",
    "changed": "there with another content, left alone",
    "missing": "missing",
}


def files_said(uploads: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What was done with the files of the storage, counted."""
    return [(word, number(uploads[name])) for name, word in FILES.items() if uploads.get(name)] if uploads else []


def left_out_line(row: Quarantined) -> dict[str, str]:
    name = next((str(row.contents[field]) for field in NAMES if row.contents.get(field)), "")
    return {"table": row.table_name.replace("_", " "), "name": name, "reason": row.reason}
