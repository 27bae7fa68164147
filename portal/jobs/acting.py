"""The dialogs that ask before something is done to jobs, and what is said after."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import g, render_template, request, url_for

from domain.db import now
from domain.errors import Invalid
from domain.jobs import several
from domain.jobs.failures import Cause, group_failures
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import JobDetail
from domain.jobs.types import type_of
from portal.errors import Refusal
from portal.formats import number
from portal.htmx import page_path, partial
from portal.jobs import listing, wording
from portal.lists import ALL, picked
from web.db import db

TEXTS = {
    "cancel": ("Cancel this job?", "It stops within a second, and what it has made so far is removed. It stays cancelled.", "Cancel job"),
    "delete": ("Delete this job?", "It disappears from every list at once, and its file with it.", "Delete job"),
    "retry": ("Run this again?", "A new job does the same once more. This one stays as it is.", "Run again"),
}


def form(name: str, detail: JobDetail, refusal: Refusal | None) -> str:
    title, text, button = TEXTS[name]
    return page_of(
        "act",
        refusal,
        name=name,
        title=title,
        text=text,
        button=button,
        line=listing.line(detail),
        action=url_for(f"portal.jobs.{name}", job_id=detail.job.id),
        reason=request.form.get("reason", ""),
        back_url=url_for("portal.jobs.show", job_id=detail.job.id),
    )


def several_form(name: str, refusal: Refusal | None) -> str:
    """How many it is about is said first; what appears after this moment is left alone."""
    query, filters, _ = asked()
    ids = picked(request.form if request.method == "POST" else request.args)
    moment = now()
    find = several.find_cancellable if name == "cancel" else several.find_deletable
    group = find(db.session(), g.actor, filters, ids, moment)
    return page_of(
        "several",
        refusal,
        name=name,
        count=group.count,
        counted=jobs(group.count),
        now_count=min(group.count, several.AT_ONCE),
        left=len(ids) - group.count if ids else 0,
        chips=[] if ids else filter_words(query),
        picked=",".join(map(str, ids)),
        before=moment.isoformat(),
        kept=query.arguments(),
        action=url_for(f"portal.jobs.{name}_several"),
        back_url=query.url(),
    )


def asked() -> tuple[listing.JobsQuery, Any, list[str]]:
    """The filters that a form carries, or those of the address."""
    if request.method == "POST":
        query = listing.JobsQuery.read(request.form)
        return query, *listing.read_filters(query)
    return listing.read()


def filter_words(query: listing.JobsQuery) -> list[dict[str, str]]:
    words = [{"word": "Status", "value": query.status}] if query.status != ALL else []
    return words + ([{"word": "Search", "value": query.q}] if query.q else []) + listing.chips(query)


def targets(name: str) -> tuple[Sequence[Any], int]:
    _, filters, refusals = asked()
    if refusals:
        raise Invalid(refusals[0])
    find = several.find_cancellable if name == "cancel" else several.find_deletable
    group = find(db.session(), g.actor, filters, picked(request.form), before())
    return group.ids, group.count


def before() -> datetime:
    try:
        moment = datetime.fromisoformat(request.form.get("before", ""))
    except ValueError:
        raise Invalid("Open this form anew: it does not say what it was about.") from None
    if moment.tzinfo is None:
        raise Invalid("Open this form anew: it does not say what it was about.")
    return moment


def cancel_several() -> str:
    ids, count = targets("cancel")
    tally = several.cancel_each(db.session(), g.actor, ids, request.form.get("reason", "").strip()[:2000] or None)
    return said("cancelled", tally, count - len(ids))


def delete_several() -> tuple[str, list[Job]]:
    ids, count = targets("delete")
    tally = several.delete_each(db.session(), g.actor, ids)
    return said("deleted", tally, count - len(ids)), tally.done


def said(word: str, tally: several.Tally, more: int) -> str:
    parts = [f"{jobs(len(tally.done))} {word}."]
    parts += [f"{number(count)} left: {message}" for message, count in tally.left.most_common(3)]
    if more > 0:
        parts.append(f"{number(more)} more to go: do it once more.")
    return " ".join(parts)


def jobs(count: int) -> str:
    return f"{number(count)} {'job' if count == 1 else 'jobs'}"


def named(job: Job) -> str:
    subject = wording.subject(job)
    return f"{type_of(job.type).title}{f', {subject},' if subject else ''}"


def causes_context(causes: Sequence[Cause]) -> dict[str, Any]:
    return {
        "causes": [
            {
                "key": cause.key,
                "title": type_of(cause.type).title,
                "icon": wording.ICONS.get(cause.type, "layers"),
                "code": cause.code,
                "message": cause.message,
                "count": cause.count,
                "counted": jobs(cause.count),
                "open": len(cause.ids),
                "latest": cause.latest,
                "first": cause.first,
                "trial": trial(cause.trial),
                "run_again": cause.run_again,
                "list_url": listing.JobsQuery(status="failed", type=cause.type).url(),
            }
            for cause in causes
        ],
        "failed": sum(cause.count for cause in causes),
    }


def trial(job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    look = wording.STATUSES[JobStatus(job.status)]
    return {
        "look": look,
        "url": url_for("portal.jobs.show", job_id=job.id),
        "finished": job.finished,
        "worked": job.status == JobStatus.SUCCEEDED,
    }


def retry_cause() -> str:
    """The newest of the cause alone, or with `rest` all that nobody has tried again."""
    _, filters, _ = listing.read()
    wanted = request.form.get("cause", "")
    cause = next((each for each in group_failures(db.session(), g.actor, filters) if each.key == wanted), None)
    ids = cause.ids if cause else []
    tally = several.retry_each(db.session(), g.actor, ids[: several.AT_ONCE] if "rest" in request.form else ids[:1])
    return said("run again", tally, 0)


def page_of(name: str, refusal: Refusal | None, /, **context: Any) -> str:
    shown = page_path() if partial() else None
    return render_template(f"jobs/{'_' if partial() else ''}{name}.html", refusal=refusal, in_dialog=partial(), shown=shown, **context)
