"""Starting the jobs that people start: an export, and a decision on many refunds."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from flask import g, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from domain.exports.permissions import permissions_for
from domain.exports.request import ANALYTICS, NARROWING, Format, ReportType, read_request
from domain.money import format_money
from domain.refunds.models import Alternative
from domain.refunds.preview import preview_decisions
from portal.errors import Refusal
from portal.formats import number
from portal.htmx import page_arguments, partial
from portal.jobs.narrowing import SOURCES, in_words, parameters_of
from portal.lists import picked
from portal.wording import ALTERNATIVES
from web.db import db
from web.inputs import from_form
from web.inputs.jobs import BulkStart
from web.refunds import policy


@dataclass(frozen=True)
class Choice:
    value: str
    word: str


def reports() -> list[Choice]:
    """What this person may carry away: nothing they may not list."""
    needed = {each: permissions_for({"report_type": str(each)}) for each in ANALYTICS}
    return [Choice(str(each), each.capitalize()) for each in ANALYTICS if all(g.actor.can(one) for one in needed[each])]


def export_form(narrowed: ReportType | None, refusal: Refusal | None = None) -> str:
    """The dialog; `narrowed` keeps it to one report, as the list it was opened from shows it."""
    told: dict[str, str] = {}
    since = until = ""
    if narrowed and request.method == "GET":
        address = SOURCES[narrowed].address.read(page_arguments())
        told, since, until = parameters_of(narrowed, address), valid_day(address.since), valid_day(address.until)
    elif narrowed:
        told = {name: request.form[name] for name in NARROWING[narrowed] if request.form.get(name)}
    form = {
        "report_type": typed("report_type", "refunds"),
        "from": typed("from", since),
        "to": typed("to", until),
        "format": typed("format", "csv"),
    }
    return page_of(
        "export",
        refusal,
        title=f"Export {narrowed}" if narrowed else "New export",
        about="As the list is filtered now" if narrowed else "A file of everything in these days",
        back_url=url_for("portal.jobs.index"),
        form=form,
        reports=[] if narrowed else reports(),
        formats=FORMATS,
        told=told,
        chips=in_words(narrowed, {name: value[:200] for name, value in told.items()}) if narrowed else [],
        action=url_for(f"portal.jobs.export_{narrowed}" if narrowed else "portal.jobs.export"),
    )


FORMATS = (Choice(str(Format.CSV), "CSV, for any program"), Choice(str(Format.XLSX), "Excel workbook (XLSX)"))


def valid_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def read_export(narrowed: ReportType | None) -> dict[str, Any]:
    """The parameters of the export that the form asks for. Raises Invalid."""
    names = ("from", "to", "format", *(NARROWING[narrowed] if narrowed else ("report_type",)))
    given: dict[str, Any] = {name: request.form[name].strip() for name in names if request.form.get(name, "").strip()}
    if narrowed:
        given["report_type"] = str(narrowed)
    if "min_amount" in given:
        given["min_amount"] = (
            int(given["min_amount"]) if given["min_amount"].isdigit() and len(given["min_amount"]) < 19 else given["min_amount"]
        )
    given = {"from": None, "to": None, "format": str(Format.CSV)} | given
    read_request(given)
    return given


def bulk_form(action: str, refusal: Refusal | None = None) -> str:
    """The dialog of a decision on the selected refunds, with what will be left to others."""
    selected = picked(request.form if request.method == "POST" else request.args)
    preview = preview_decisions(db.session(), g.actor, policy(), selected)
    ids = preview.pending if action == "reject" else preview.alone
    sums = [format_money(cents, currency, g.actor.locale) for currency, cents in preview.by_currency.items()]
    form = {
        "reason": typed("reason", ""),
        "admin_notes": typed("admin_notes", ""),
        "offer_alternative": typed("offer_alternative", Alternative.NONE),
        "notify_user": ticked("notify_user"),
        "notify_vendor": ticked("notify_vendor"),
    }
    return page_of(
        "bulk",
        refusal,
        act=action,
        form=form,
        ids=",".join(map(str, ids)),
        count=len(ids),
        counted=f"{number(len(ids))} {'refund' if len(ids) == 1 else 'refunds'}",
        sums=sums if action == "approve" else [],
        two=len(preview.two) if action == "approve" else 0,
        decided=preview.decided,
        alternatives=[Choice(str(value), word) for value, word in ALTERNATIVES.items()],
        action=url_for("portal.jobs.decide", act=action),
    )


def read_bulk(action: str) -> dict[str, Any]:
    """The parameters of the bulk decision that the form asks for. Raises ValidationError."""
    ids: list[UUID] = picked(request.form)
    given = from_form(BulkStart(), MultiDict((name, value) for name, value in request.form.items() if name != "refund_ids"))
    parameters: dict[str, Any] = BulkStart().load(
        given | {"type": "bulk_operation", "action": action, "refund_ids": [str(refund_id) for refund_id in dict.fromkeys(ids)]}
    )
    return parameters


def page_of(name: str, refusal: Refusal | None, /, **context: Any) -> str:
    return render_template(
        f"jobs/{'_' if partial() else ''}{name}.html",
        refusal=refusal if refusal and not refusal.fields else None,
        errors=defaultdict(str, refusal.fields if refusal else {}),
        in_dialog=partial(),
        **context,
    )


def typed(name: str, start: Any) -> Any:
    return request.form.get(name, start) if request.method == "POST" else start


def ticked(name: str) -> bool:
    return name in request.form if request.method == "POST" else True
