"""Carrying the log away as a file: what the list shows, as a job."""

from collections import defaultdict
from typing import Any

from flask import render_template, request, url_for

from domain.audit.objects import name_objects
from domain.exports.request import AUDIT_NARROWING, Format, read_audit_request
from portal.audit import listing
from portal.audit.wording import words
from portal.errors import Refusal
from portal.htmx import page_arguments, partial
from portal.jobs.starting import FORMATS, typed, valid_day
from web.db import db

NARROWING = ("action", *AUDIT_NARROWING)


def export_form(refusal: Refusal | None = None) -> str:
    """The dialog, with the filters of the list it was opened from. What made no sense in its address narrows nothing."""
    query = listing.AuditQuery.read(page_arguments())
    if request.method == "POST":
        told = {name: request.form[name] for name in NARROWING if request.form.get(name)}
        chips = [{"word": words(name), "value": value[:200]} for name, value in told.items()]
    else:
        filters, _ = listing.read_filters(query)
        told = {name: getattr(filters, name) for name in NARROWING if getattr(filters, name)}
        told |= {"action": ",".join(filters.action)} if filters.action else {}
        chips = [chip for chip in listing.chips(query, name_objects(db.session(), [])) if chip["word"] != "When"]
        chips += [{"word": "Search", "value": query.q}] if query.q else []
    return render_template(
        "jobs/_export.html" if partial() else "audit/export.html",
        title="Export the audit log",
        about="As the list is filtered now, hashes included",
        reports=[],
        refusal=refusal if refusal and not refusal.fields else None,
        errors=defaultdict(str, refusal.fields if refusal else {}),
        in_dialog=partial(),
        told=told,
        chips=chips,
        formats=FORMATS,
        form={
            "from": typed("from", valid_day(query.since)),
            "to": typed("to", valid_day(query.until)),
            "format": typed("format", str(Format.CSV)),
        },
        action=url_for("portal.audit.export"),
        back_url=query.url(),
    )


def read_export() -> dict[str, Any]:
    """The parameters of the export that the form asks for. Raises Invalid."""
    given: dict[str, Any] = {
        name: request.form[name].strip() for name in ("from", "to", "format", *NARROWING) if request.form.get(name, "").strip()
    }
    if "action" in given:
        given["action"] = given["action"].split(",")
    given = {"from": None, "to": None, "format": str(Format.CSV)} | given
    read_audit_request(given)
    return given
