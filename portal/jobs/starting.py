"""Starting the jobs that people start: an export, and a decision on many refunds."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from flask import g, render_template, request, url_for

from domain.exports.permissions import permissions_for
from domain.exports.request import Format, ReportType, read_request
from domain.money import format_money, is_currency
from domain.refunds.models import Alternative
from domain.refunds.preview import preview_decisions
from portal.errors import Refusal
from portal.formats import number
from portal.htmx import page_arguments, partial
from portal.lists import picked
from portal.refunds import listing as refunds
from portal.wording import ALTERNATIVES
from web.db import db
from web.inputs import from_form
from web.inputs.jobs import BulkStart
from web.refunds import policy

NARROWING = ("status", "q", "min_amount", "currency", "awaiting", "processing_state", "reason", "priority", "user_id", "vendor_id")


@dataclass(frozen=True)
class Choice:
    value: str
    word: str


def reports() -> list[Choice]:
    """What this person may carry away: nothing they may not list."""
    needed = {each: permissions_for({"report_type": str(each)}) for each in ReportType}
    return [Choice(str(each), each.capitalize()) for each in ReportType if all(g.actor.can(one) for one in needed[each])]


def export_form(narrowed: bool, refusal: Refusal | None = None) -> str:
    """The dialog; `narrowed` keeps it to refunds, as the queue it was opened from shows them."""
    query = refunds.ListQuery.read(page_arguments()) if narrowed else refunds.ListQuery(status=refunds.ALL)
    told, chips = queue_filters(query) if narrowed and request.method == "GET" else ({}, [])
    if request.method == "POST":
        told = {name: request.form[name] for name in NARROWING if request.form.get(name)}
        chips = in_words({name: value[:200] for name, value in told.items()})
    form = {
        "report_type": typed("report_type", "refunds"),
        "from": typed("from", valid_day(query.since)),
        "to": typed("to", valid_day(query.until)),
        "format": typed("format", "csv"),
    }
    action = url_for("portal.jobs.export_refunds" if narrowed else "portal.jobs.export")
    context = {"form": form, "reports": reports(), "formats": FORMATS, "told": told, "chips": chips, "narrowed": narrowed, "action": action}
    return page_of("export", refusal, **context)


FORMATS = (Choice(str(Format.CSV), "CSV, for any program"), Choice(str(Format.XLSX), "Excel workbook (XLSX)"))


def queue_filters(query: refunds.ListQuery) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The queue's filters as the parameters of an export, and as words. What made no sense in the address narrows nothing."""
    filters, _ = refunds.read_filters(query)
    told = {
        "status": ",".join(filters.status),
        "q": filters.q,
        "min_amount": filters.min_amount,
        "currency": filters.currency,
        "awaiting": filters.awaiting,
        "processing_state": ",".join(filters.processing_state),
        "reason": filters.reason,
        "priority": ",".join(filters.priority),
        "user_id": filters.user_id,
        "vendor_id": filters.vendor_id,
    }
    found = {name: str(value) for name, value in told.items() if value}
    return found, in_words(found)


def in_words(told: dict[str, str]) -> list[dict[str, str]]:
    """The parameters that narrow an export, as the queue calls them."""
    words = []
    for name, value in told.items():
        if name == "min_amount" and is_currency(told.get("currency", "")) and value.isdigit():
            words.append({"word": "Amount", "value": f"at least {format_money(int(value), told['currency'], g.actor.locale)}"})
        elif name not in ("min_amount", "currency"):
            words.append({"word": WORDS[name], "value": "only this one" if name.endswith("_id") else plain(name, value)})
    return words


WORDS = {
    "status": "Status",
    "q": "Search",
    "awaiting": "Awaiting",
    "processing_state": "Payment",
    "reason": "Reason",
    "priority": "Priority",
    "user_id": "Customer",
    "vendor_id": "Vendor",
}


def plain(name: str, value: str) -> str:
    return value if name == "q" else value.replace("_", " ").capitalize()


def valid_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def read_export(narrowed: bool) -> dict[str, Any]:
    """The parameters of the export that the form asks for. Raises Invalid."""
    names = ("from", "to", "format", *(NARROWING if narrowed else ("report_type",)))
    given: dict[str, Any] = {name: request.form[name].strip() for name in names if request.form.get(name, "").strip()}
    if narrowed:
        given["report_type"] = str(ReportType.REFUNDS)
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
    given = from_form(BulkStart(), {name: value for name, value in request.form.items() if name != "refund_ids"})
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
