"""/audit, as people read it: nothing here changes an entry."""

from flask import Blueprint, Response, g, render_template, url_for

from domain.access import Permission
from domain.audit import checks, queries
from domain.jobs import commands
from domain.jobs.models import Job
from domain.jobs.types import AUDIT_EXPORT
from portal.audit import listing, showing, starting
from portal.errors import refusals_go_to
from portal.htmx import go, page_arguments, render
from web.access import needs
from web.db import db
from web.idempotency import idempotent

blp = Blueprint("audit", __name__, url_prefix="/audit")


@blp.get("")
@needs(Permission.AUDIT_LIST)
def index():
    query = listing.AuditQuery.read(page_arguments())
    number = listing.named_number(query)
    entry_id = None if number is None else queries.find_number(db.session(), g.actor, number)
    if entry_id is not None:
        return go(url_for("portal.audit.show", entry_id=entry_id), 302)
    filters, refusals = listing.read_filters(query)
    page = queries.list_entries(db.session(), g.actor, filters, count_to=listing.COUNTED_TO)
    if filters.newer_than is not None and len(page.items) < filters.page_size:
        return go(query.url(), 302)
    context = listing.list_context(query, page, refusals)
    return render("audit/index.html", fragment="audit/_fragment.html", **context), 422 if refusals else 200


@blp.get("/<uuid:entry_id>")
@needs(Permission.AUDIT_LIST)
def show(entry_id):
    entry = queries.get_entry(db.session(), g.actor, entry_id)
    return render_template("audit/show.html", **showing.detail_context(entry))


@blp.get("/export")
@needs(Permission.AUDIT_LIST)
def export_form(refusal=None):
    return starting.export_form(refusal)


@blp.post("/export")
@needs(Permission.AUDIT_LIST)
@idempotent()
def export():
    refusals_go_to(export_form)
    return show_job(commands.start(db.session(), g.actor, AUDIT_EXPORT.name, starting.read_export()))


@blp.post("/verify")
@needs(Permission.AUDIT_LIST)
@idempotent()
def verify():
    """Have the whole chain computed anew."""
    return show_job(checks.ask(db.session(), g.actor))


def show_job(job: Job) -> Response:
    return go(url_for("portal.jobs.show", job_id=job.id))


@blp.app_template_global()
def audit_url(object_type: str, object_id: object) -> str | None:
    """All that the log holds of an object, for those who may read it."""
    if not g.actor.can(Permission.AUDIT_LIST):
        return None
    return listing.AuditQuery(object=object_type, id=str(object_id)).url()
