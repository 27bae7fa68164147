"""/jobs, as people see it."""

from functools import partial
from uuid import UUID

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, url_for

from domain.access import Permission
from domain.errors import NotFound
from domain.exports.request import ReportType
from domain.jobs import commands, queries
from domain.jobs.failures import group_failures
from domain.jobs.models import Job
from domain.jobs.types import ANALYTICS_EXPORT, BULK_OPERATION
from portal.errors import refusals_go_to
from portal.forms import read_form
from portal.htmx import go, page_path, render, unless_seen
from portal.htmx import partial as is_partial
from portal.jobs import acting, listing, showing, starting
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.jobs import JobCancellation
from web.jobs import remove_result, send_result

blp = Blueprint("jobs", __name__, url_prefix="/jobs")

LISTS = needs(Permission.JOBS_LIST, Permission.JOBS_LIST_ALL)


@blp.get("")
@LISTS
def index():
    query, filters, refusals = listing.read()
    named = listing.named_job(query)
    if named is not None and exists(named):
        return go(url_for("portal.jobs.show", job_id=named), 302)
    page = queries.list_jobs(db.session(), g.actor, filters)
    context = listing.list_context(query, page, queries.pulse(db.session(), g.actor), refusals)
    return render("jobs/index.html", fragment="jobs/_fragment.html", **context), 422 if refusals else 200


@blp.get("/now")
@LISTS
def now():
    """What a poll asks for: the figures, the tabs and the rows as they are; nothing where nothing has changed."""
    query, filters, refusals = listing.read()
    page = queries.list_jobs(db.session(), g.actor, filters)
    pulse = queries.pulse(db.session(), g.actor)
    if not is_partial():
        return render_template("jobs/index.html", **listing.list_context(query, page, pulse, refusals))
    return unless_seen(render_template("jobs/_now.html", **listing.live_context(query, page, pulse)))


@blp.get("/failures")
@LISTS
def failures():
    """Failed jobs by cause."""
    query, filters, refusals = listing.read()
    causes = group_failures(db.session(), g.actor, filters)
    return render_template("jobs/failures.html", query=query, chips=listing.chips(query), **acting.causes_context(causes))


@blp.get("/<uuid:job_id>")
@needs()
def show(job_id):
    return render_template("jobs/show.html", **detail(job_id))


@blp.get("/<uuid:job_id>/now")
@needs()
def now_one(job_id):
    """What the page of a job that is under way asks for."""
    if not is_partial():
        return redirect(url_for("portal.jobs.show", job_id=job_id))
    return unless_seen(render_template("jobs/_now_one.html", **detail(job_id)))


@blp.get("/<uuid:job_id>/result")
@needs()
def result(job_id):
    """The file, as a download."""
    return send_result(job_id)


@blp.get("/<uuid:job_id>/cancel")
@needs()
def cancel_form(job_id, refusal=None):
    return acting.form("cancel", get(job_id), refusal)


@blp.get("/<uuid:job_id>/delete")
@needs()
def delete_form(job_id, refusal=None):
    return acting.form("delete", get(job_id), refusal)


@blp.get("/<uuid:job_id>/retry")
@needs()
def retry_form(job_id, refusal=None):
    return acting.form("retry", get(job_id), refusal)


@blp.post("/<uuid:job_id>/cancel")
@needs()
@idempotent()
def cancel(job_id):
    refusals_go_to(partial(cancel_form, job_id))
    job = commands.cancel(db.session(), g.actor, job_id, **read_form(JobCancellation))
    return done(f"{acting.named(job)} cancelled.", url_for("portal.jobs.show", job_id=job_id))


@blp.post("/<uuid:job_id>/delete")
@needs()
@idempotent()
def delete(job_id):
    refusals_go_to(partial(delete_form, job_id))
    job = commands.delete(db.session(), g.actor, job_id)
    remove_result(job)
    if on_page_of(job):
        return go(url_for("portal.jobs.index"))
    return done(f"{acting.named(job)} deleted.", url_for("portal.jobs.index"))


@blp.post("/<uuid:job_id>/retry")
@needs()
@idempotent()
def retry(job_id):
    refusals_go_to(partial(retry_form, job_id))
    again = commands.retry(db.session(), g.actor, job_id)
    there = url_for("portal.jobs.show", job_id=again.id)
    if page_path() == url_for("portal.jobs.show", job_id=job_id):
        return go(there)
    return done(f"{acting.named(again)} is run again as {listing.short(again.id)}.", there)


@blp.get("/several/cancel")
@LISTS
def cancel_several_form(refusal=None):
    return acting.several_form("cancel", refusal)


@blp.get("/several/delete")
@LISTS
def delete_several_form(refusal=None):
    return acting.several_form("delete", refusal)


@blp.post("/several/cancel")
@LISTS
@idempotent()
def cancel_several():
    refusals_go_to(cancel_several_form)
    return done(acting.cancel_several(), url_for("portal.jobs.index"))


@blp.post("/several/delete")
@LISTS
@idempotent()
def delete_several():
    refusals_go_to(delete_several_form)
    said, gone = acting.delete_several()
    for job in gone:
        remove_result(job)
    return done(said, url_for("portal.jobs.index"))


@blp.post("/failures/retry")
@LISTS
@idempotent()
def retry_failures():
    """Run one failed job of a cause again, or all that are left of it."""
    acting.retry_cause()
    return go(url_for("portal.jobs.failures", **listing.read()[0].arguments()))


@blp.get("/export")
@needs(Permission.ANALYTICS_VIEW)
def export_form(refusal=None):
    return starting.export_form(None, refusal)


@blp.post("/export")
@needs(Permission.ANALYTICS_VIEW)
@idempotent()
def export():
    refusals_go_to(export_form)
    return started(commands.start(db.session(), g.actor, ANALYTICS_EXPORT.name, starting.read_export(None)))


@blp.get("/export/refunds")
@needs(Permission.ANALYTICS_VIEW)
def export_refunds_form(refusal=None):
    """The same from the refund queue, with its filters."""
    return starting.export_form(ReportType.REFUNDS, refusal)


@blp.post("/export/refunds")
@needs(Permission.ANALYTICS_VIEW)
@idempotent()
def export_refunds():
    refusals_go_to(export_refunds_form)
    return started(commands.start(db.session(), g.actor, ANALYTICS_EXPORT.name, starting.read_export(ReportType.REFUNDS)))


@blp.get("/export/referrals")
@needs(Permission.ANALYTICS_VIEW)
def export_referrals_form(refusal=None):
    """The same from the list of referrals."""
    return starting.export_form(ReportType.REFERRALS, refusal)


@blp.post("/export/referrals")
@needs(Permission.ANALYTICS_VIEW)
@idempotent()
def export_referrals():
    refusals_go_to(export_referrals_form)
    return started(commands.start(db.session(), g.actor, ANALYTICS_EXPORT.name, starting.read_export(ReportType.REFERRALS)))


@blp.get("/decide/<act>")
@needs(Permission.REFUNDS_APPROVE)
def decide_form(act, refusal=None):
    return starting.bulk_form(known(act), refusal)


@blp.post("/decide/<act>")
@needs(Permission.REFUNDS_APPROVE)
@idempotent()
def decide(act):
    refusals_go_to(partial(decide_form, act))
    return started(commands.start(db.session(), g.actor, BULK_OPERATION.name, starting.read_bulk(known(act))))


def known(act: str) -> str:
    if act not in ("approve", "reject"):
        abort(404)
    return act


def started(job: Job) -> Response:
    return go(url_for("portal.jobs.show", job_id=job.id))


def get(job_id: UUID) -> queries.JobDetail:
    return queries.get_job(db.session(), g.actor, job_id)


def detail(job_id: UUID) -> dict[str, object]:
    return showing.detail_context(get(job_id))


def exists(job_id: UUID) -> bool:
    try:
        return bool(get(job_id))
    except NotFound:
        return False


def on_page_of(job: Job) -> bool:
    return page_path() == url_for("portal.jobs.show", job_id=job.id)


def done(said: str, url: str) -> Response:
    """The spoken line after an act; the page then polls at once. Without JavaScript: the page that shows what came of it."""
    if not is_partial():
        return go(url)
    return make_response(render_template("jobs/_done.html", said=said))
