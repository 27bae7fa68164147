"""The list: how the backups stand, which moments can be reached, what is under way, and the rows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import current_app, g, url_for

from domain.access import Permission
from domain.backups import queries
from domain.backups.manifest import Manifest
from domain.backups.standing import Standing, find_standing, oldest_allowed
from domain.backups.vault import Finding
from domain.jobs.models import Job
from domain.jobs.queries import JobRow
from domain.jobs.types import RESTORE
from domain.pagination import PageRequest
from domain.restores.models import Kind, Restore
from domain.restores.queries import list_restores
from portal.backups import wording
from portal.backups.reach import DAYS, draw
from portal.formats import age, number, zone_words
from portal.jobs import listing as jobs
from portal.jobs.listing import JobsQuery
from portal.jobs.wording import size
from portal.lists import ListAddress, reach
from portal.wording import Look
from web.backups import vault
from web.db import db

RESTORES_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class BackupsQuery(ListAddress):
    ENDPOINT = "portal.backups.index"

    days: str = ""

    @property
    def day_count(self) -> int:
        return int(self.days) if self.days in {str(days) for days in DAYS} else next(iter(DAYS))


def page_context(query: BackupsQuery) -> dict[str, Any]:
    return {"concerns": concerns(), **live_context(query)}


def live_context(query: BackupsQuery) -> dict[str, Any]:
    """What a poll brings."""
    standing = find_standing(vault())
    page = queries.list_backups(g.actor, vault(), PageRequest(page=query.page_number))
    found = page.total_items
    return {
        **operation_context(),
        "standing": standing_words(standing),
        "unreadable": standing.unreadable,
        "reach": draw(page.summary["coverage"] or (), query.day_count, page.summary["reasons"].get("coverage")),
        "spans": [{"word": DAYS[days], "url": query.url(days=str(days)), "current": days == query.day_count} for days in sorted(DAYS)],
        "rows": [line(manifest, standing) for manifest in page],
        "found_words": f"{number(found)} {'backup' if found == 1 else 'backups'}, {size(page.summary['stored_bytes'])} stored",
        "pages": reach(page),
        "page_url": lambda place: query.url(page=str(place)),
        "list_url": query.url(page=query.page),
        "restores": [restore_line(restore) for restore in list_restores(db.session(), g.actor, PageRequest(page_size=RESTORES_SHOWN))],
        "now_url": query.url("portal.backups.now", page=query.page),
        "zone": zone_words(),
    }


def restore_line(restore: Restore) -> dict[str, Any]:
    looks = {
        "undone": Look("Taken back", "neutral", "undo-2"),
        "frozen": Look("Approvals frozen", "warning", "lock"),
        "done": Look("Acknowledged", "success", "circle-check"),
    }
    return {
        "url": url_for("portal.restores.show", restore_id=restore.id),
        "word": "Rolled back" if restore.kind == Kind.ROLLBACK else "Restored",
        "swapped_at": restore.swapped_at,
        "reached_at": restore.reached_at,
        "by": restore.requested_by,
        "look": looks["undone" if restore.rolled_back_at else "done" if restore.acknowledged_at else "frozen"],
    }


def operation_context() -> dict[str, Any]:
    """What is under way, and what failed last where nothing has succeeded since."""
    operation = queries.find_operation(db.session(), g.actor)
    failure = queries.find_failure(db.session(), g.actor)
    return {
        "operation": operation and {**jobs.line(operation), **where_to(operation.job)},
        "elsewhere": operation is None and vault().busy(),
        "failure": failure and failure_words(failure),
    }


def where_to(job: Job) -> dict[str, str | None]:
    """The page that follows it to its end."""
    if job.type == RESTORE.name:
        return {"url": url_for("portal.restores.show", restore_id=job.id), "url_word": "See the restore"}
    return {"url": job_url(job), "url_word": "See the job"}


def failure_words(row: JobRow) -> dict[str, Any]:
    line = jobs.line(row)
    return {"title": f"{line['title']} failed", "said": line["error"], "at": row.job.finished_at, **where_to(row.job)}


def job_url(job: Job) -> str | None:
    """Its page, for those who may open it."""
    own = job.creator_id is not None and job.creator_id == g.actor.admin_id
    return url_for("portal.jobs.show", job_id=job.id) if own or g.actor.can(Permission.JOBS_LIST_ALL) else None


def every() -> timedelta:
    """How often a backup is made without being asked for; nothing: never."""
    return timedelta(hours=current_app.config["PORTAL"].backup_every_hours)


def standing_words(standing: Standing) -> dict[str, Any]:
    """In one line how old the newest backup is that could be restored, and what follows from that."""
    newest, old = standing.newest, standing.age
    by_itself = f"One is made by itself every {number(int(every() / timedelta(hours=1)))} hours" if every() else ""
    jobs_url = JobsQuery(type="backup").url() if g.actor.can(Permission.JOBS_LIST_ALL) else None
    if newest is None or old is None:
        there = "None that was made can be put together again." if standing.manifests or standing.unreadable else "None was made yet."
        first = f" {by_itself}, the first soon after a worker starts." if by_itself else ""
        said = f"{there} If the data were lost now, nothing could bring them back.{first}"
        return {"tone": "danger", "icon": "shield-alert", "title": "There is no verified backup", "said": said, "jobs_url": None}
    if old > oldest_allowed(every()):
        said = "What happened since then would be lost." + (f" {by_itself}, and none was: look why." if by_itself else "")
        title = f"The newest verified backup is {age(newest.snapshot_at)} old"
        return {"tone": "danger", "icon": "clock", "title": title, "said": said, "jobs_url": jobs_url}
    said = f"The newest verified backup is {age(newest.snapshot_at)} old. {by_itself + '.' if by_itself else ''}"
    return {"tone": "success", "icon": "shield-check", "title": "", "said": said, "jobs_url": None}


def concerns() -> list[Finding]:
    """What backups need and do not have; that there is none is said above already."""
    return [finding for finding in vault().examine() if not finding.ok and finding.name != "backups"]


def line(manifest: Manifest, standing: Standing) -> dict[str, Any]:
    """One row, in words."""
    return {
        "id": manifest.id,
        "short": str(manifest.id)[:8],
        "url": url_for("portal.backups.show", backup_id=manifest.id),
        "at": manifest.snapshot_at,
        "type": wording.TYPES[manifest.effective_type],
        "asked": "" if manifest.type is manifest.effective_type else f"{wording.TYPES[manifest.type].lower()} asked for",
        "size": size(manifest.stored_bytes),
        "database_size": size(manifest.database_bytes),
        "look": wording.STATES[standing.states[manifest.id]],
        "encrypted": manifest.encrypted,
        "created_by": manifest.created_by,
        "description": manifest.description or "",
    }
