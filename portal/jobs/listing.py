"""The monitor: what its address says, and everything around and in its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import g, url_for

from domain.access import Permission
from domain.db import now
from domain.jobs.attention import LATELY, list_creators
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import Hour, JobFilters, JobRow, Pulse
from domain.jobs.types import JOB_TYPES, type_of
from domain.pagination import Page
from portal.charts import Chart, Series, bar_chart
from portal.formats import age, number, zone, zone_words
from portal.htmx import page_arguments
from portal.jobs import wording
from portal.lists import ALL, ListAddress, Reading, reach, span, tabs
from web.db import db

SYSTEM = "system"
LATELY_ENDED = "24h"


@dataclass(frozen=True, kw_only=True)
class JobsQuery(ListAddress):
    ENDPOINT = "portal.jobs.index"

    type: str = ""
    by: str = ""
    ended: str = ""


def read() -> tuple[JobsQuery, JobFilters, list[str]]:
    """The list that this request is about: what its address says, as filters, and what in it makes no sense."""
    query = JobsQuery.read(page_arguments())
    return query, *read_filters(query)


def read_filters(query: JobsQuery) -> tuple[JobFilters, list[str]]:
    reading = Reading(query)
    if query.status != ALL:
        reading.take(lambda: {"status": (JobStatus(query.status),)}, "There is no such status.")
    if query.type:
        reading.take(lambda: {"type": (known_type(query.type),)}, "There is no such type of job.")
    if query.by == SYSTEM:
        reading.found["by_system"] = True
    elif query.by:
        reading.take(lambda: {"creator_id": g.actor.admin_id if query.by == "me" else UUID(query.by)}, "There is no such admin.")
    if query.ended:
        reading.take(lambda: {"ended_since": ended_since(query.ended)}, "Ended: only the last 24 hours can be asked for.")
    reading.take_days()
    return JobFilters(**reading.found), reading.refusals


def ended_since(span: str) -> datetime:
    if span != LATELY_ENDED:
        raise ValueError(span)
    return now() - LATELY


def known_type(name: str) -> str:
    if name not in JOB_TYPES:
        raise ValueError(name)
    return name


def named_job(query: JobsQuery) -> UUID | None:
    """The id that was typed into the search, whole; short ids are found by the list."""
    try:
        return UUID(query.q) if len(query.q) in (32, 36) else None
    except ValueError:
        return None


def list_context(query: JobsQuery, page: Page[JobRow], pulse: Pulse, refusals: list[str]) -> dict[str, Any]:
    return {
        "query": query,
        "refusals": refusals,
        "page_url": lambda number: query.url(page=str(number)),
        "list_url": query.url(page=query.page),
        "now_url": query.url("portal.jobs.now", page=query.page),
        "clear_url": JobsQuery(status=query.status).url(),
        "chips": chips(query),
        "types": [{"word": kind.title, "url": query.url(type=name)} for name, kind in JOB_TYPES.items()],
        "creators": creators(query),
        **live_context(query, page, pulse),
    }


def live_context(query: JobsQuery, page: Page[JobRow], pulse: Pulse) -> dict[str, Any]:
    """What a poll brings: the figures, the tabs and the rows."""
    counts = {str(status): page.summary[status] for status in JobStatus}
    words = {ALL: "All"} | {str(status): look.word for status, look in wording.STATUSES.items()}
    counts[ALL] = sum(counts.values())
    found = counts.get(query.status, 0)
    return {
        "query": query,
        "page_url": lambda number: query.url(page=str(number)),
        "clear_url": JobsQuery(status=query.status).url(),
        "tabs": tabs(query, counts, words),
        "found_words": f"{number(found)} {'job' if found == 1 else 'jobs'}",
        "rows": [line(row) for row in page],
        "pages": reach(page),
        "zone": zone_words(),
        "nothing": nothing(query, page),
        "sweep": sweep(query, counts),
        "failures_url": query.url("portal.jobs.failures", status=ALL) if counts[JobStatus.FAILED] > 1 else None,
        "failed": counts[JobStatus.FAILED],
        **pulse_context(pulse),
    }


def sweep(query: JobsQuery, counts: dict[str, int]) -> list[dict[str, Any]]:
    """What can be done to all that the list shows."""
    shown = [query.status] if query.status != ALL else list(JobStatus)
    unfinished = sum(counts.get(status, 0) for status in shown if status in ("pending", "processing"))
    finished = sum(counts.get(status, 0) for status in shown if status in ("succeeded", "failed", "cancelled"))
    offers = (("Cancel the unfinished…", "circle-stop", "cancel", unfinished), ("Delete the finished…", "trash-2", "delete", finished))
    return [
        {"word": word, "icon": icon, "name": name, "count": count, "url": query.url(f"portal.jobs.{name}_several_form")}
        for word, icon, name, count in offers
        if count
    ]


def line(row: JobRow) -> dict[str, Any]:
    """One row, in words."""
    job = row.job
    return {
        "id": job.id,
        "short": short(job.id),
        "url": url_for("portal.jobs.show", job_id=job.id),
        "icon": wording.icon_of(job),
        "title": type_of(job.type).title,
        "subject": wording.subject(job),
        "look": wording.STATUSES[JobStatus(job.status)],
        "running": job.status == JobStatus.PROCESSING,
        "percent": job.progress_percent,
        "words": wording.outcome(row),
        "error": error_words(job),
        "creator": row.creator_name or "System",
        "took": wording.took(job),
        "created_at": job.created_at,
        "acts": wording.acts(g.actor, job),
    }


def short(job_id: UUID) -> str:
    return str(job_id)[:8]


def error_words(job: Job) -> str | None:
    if job.status != JobStatus.FAILED or not job.error:
        return None
    return str(job.error.get("message") or job.error.get("code") or "No reason was given.")


def chips(query: JobsQuery) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.type:
        found.append({"word": "Type", "value": type_of(query.type).title, "without": query.url(type="")})
    if query.by:
        found.append({"word": "Started by", "value": creator_word(query.by), "without": query.url(by="")})
    if query.since or query.until:
        found.append({"word": "Created", "value": span(query), "without": query.url(since="", until="")})
    if query.ended:
        found.append({"word": "Ended", "value": "last 24 h", "without": query.url(ended="")})
    return found


def creator_word(by: str) -> str:
    if by == "me" or by == str(g.actor.admin_id):
        return "me"
    if by == SYSTEM:
        return "the portal itself"
    return next((name for admin_id, name in list_creators(db.session(), g.actor) if str(admin_id) == by), "only this one")


def creators(query: JobsQuery) -> list[dict[str, str]]:
    """Whose jobs the list can be narrowed to: a choice for those alone who see more than their own."""
    if query.by or not g.actor.can(Permission.JOBS_LIST_ALL):
        return []
    others = [(str(admin_id), name) for admin_id, name in list_creators(db.session(), g.actor) if admin_id != g.actor.admin_id]
    return [{"word": name, "url": query.url(by=by)} for by, name in [("me", "Me"), *others, (SYSTEM, "The portal itself")]]


def nothing(query: JobsQuery, page: Page[JobRow]) -> dict[str, Any]:
    """What stands in for the rows where there are none."""
    if page.request.page > 1:
        return {"title": "This page is past the end", "icon": "inbox", "hint": "", "filtered": True}
    if query.filtered:
        return {"title": "No match", "icon": "search", "hint": "No job fits these filters.", "filtered": True}
    title = "No jobs yet" if query.status == ALL else f"No {query.status} jobs"
    hint = "Exports, bulk decisions and payouts appear here as they are started." if query.status == ALL else ""
    return {"title": title, "icon": "layers", "hint": hint, "filtered": False}


def pulse_context(pulse: Pulse) -> dict[str, Any]:
    finished = pulse.finished_24h
    return {
        "now_figures": {
            "waiting": pulse.waiting,
            "running": pulse.running,
            "oldest": None if pulse.oldest_wait_seconds is None else age(now() - timedelta(seconds=pulse.oldest_wait_seconds)),
            "late": (pulse.oldest_wait_seconds or 0) > 60,
            "failed": pulse.failed_24h,
            "share": f"{100 * pulse.failed_24h / finished:.1f}%" if finished and pulse.failed_24h else "",
        },
        "chart": chart(pulse.hours),
    }


def chart(hours: Sequence[Hour]) -> Chart:
    clocks = [f"{hour.start.astimezone(zone()):%H:%M}" for hour in hours]
    outcomes = (("Succeeded", "main"), ("Failed", "danger"), ("Cancelled", "muted"))
    finished = sum(hour.succeeded + hour.failed + hour.cancelled for hour in hours)
    many = f"{number(finished)} {'job' if finished == 1 else 'jobs'}"
    return bar_chart(
        "Jobs finished per hour, last 24 h",
        clocks,
        [Series(word, [getattr(hour, word.lower()) for hour in hours], tone) for word, tone in outcomes],
        marks=[*clocks[::6], "now"],
        summary=f"{many} finished in the last 24 hours, {number(sum(hour.failed for hour in hours))} of them failed.",
        nothing="No job has finished in the last 24 hours.",
    )
