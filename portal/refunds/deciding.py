"""The forms of a decision: what they start with, what was typed, and a refusal put where it belongs."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from flask import g, render_template, request

from domain.money import plain_amount, precision
from domain.refunds.models import Alternative
from domain.refunds.queries import RefundDetail
from portal.errors import Refusal
from portal.formats import money
from portal.htmx import partial
from portal.refunds.showing import detail_context
from portal.wording import ALTERNATIVES

OVERTAKEN = {"NOT_PENDING", "STALE", "NOT_FAILED"}


def approve_form(detail: RefundDetail, refusal: Refusal | None = None) -> str:
    """The approve dialog, or its page; after a refusal with everything as it was typed."""
    refund, context = detail.refund, detail_context(detail)
    refusal = refusal and in_their_currency(refusal, detail)
    first = context["first_approval"]
    most = min(refund.requested_amount_cents, detail.money.refundable_cents)
    start = first["amount_cents"] if first else most
    two = detail.approvals_required(start) > 1
    form = {
        "amount": typed("amount", plain_amount(start, refund.currency, g.actor.locale)),
        "digits": precision(refund.currency),
        "amount_help": f"Requested {money(refund.requested_amount_cents, refund.currency)}. At most {money(most, refund.currency)}.",
        "full": plain_amount(most, refund.currency, g.actor.locale),
        "full_label": money(most, refund.currency),
        "button_amount": money(start, refund.currency),
        "reason": typed("reason", ""),
        "admin_notes": typed("admin_notes", ""),
        "notify_user": ticked("notify_user"),
        "notify_vendor": ticked("notify_vendor"),
        "second": bool(first),
        "two": two,
        "ask_code": (two and not g.actor.has_fresh_mfa) or (refusal is not None and "mfa_code" in refusal.fields),
        "own": bool(first and first["admin_id"] == g.actor.admin_id),
    }
    return form_page("approve", context, form, refusal)


def reject_form(detail: RefundDetail, refusal: Refusal | None = None) -> str:
    form = {
        "reason": typed("reason", ""),
        "admin_notes": typed("admin_notes", ""),
        "offer_alternative": typed("offer_alternative", Alternative.NONE),
        "notify_user": ticked("notify_user"),
    }
    choices = [{"value": value, "word": word} for value, word in ALTERNATIVES.items()]
    return form_page("reject", detail_context(detail) | {"alternatives": choices}, form, refusal)


def form_page(name: str, context: dict[str, Any], form: dict[str, Any], refusal: Refusal | None) -> str:
    if not context["refund"].awaiting_decision and refusal is None:
        refusal = Refusal("Already decided", f"This refund is {context['refund'].status}.", code="NOT_PENDING", status=409)
    if refusal and refusal.code in OVERTAKEN:
        name = "overtaken"
    return render_template(
        f"refunds/{'_' if partial() else ''}{name}.html",
        **context,
        form=form,
        refusal=refusal if refusal and not refusal.fields else None,
        errors=defaultdict(str, refusal.fields if refusal else {}),
        in_dialog=partial(),
        typed=typed("reason", ""),
    )


def typed(name: str, start: Any) -> Any:
    return request.form.get(name, start) if request.method == "POST" else start


def ticked(name: str) -> bool:
    return name in request.form if request.method == "POST" else True


def in_their_currency(refusal: Refusal, detail: RefundDetail) -> Refusal:
    """The refusal in major units, on the field it is about."""
    currency = detail.refund.currency
    if refusal.code == "AMOUNT_NOT_REFUNDABLE" or "approved_amount_cents" in refusal.fields:
        most = min(detail.refund.requested_amount_cents, detail.money.refundable_cents)
        said = f"Approve at most {money(most, currency)}." if most else "Nothing is left of this payment to refund."
        return replace(refusal, fields={**refusal.fields, "amount": said})
    if refusal.code == "MFA_REQUIRED":
        said = g.actor.mfa_problem or "Enter a fresh code from your authenticator app."
        return replace(refusal, fields={"mfa_code": said if g.actor.mfa_enrolled else refusal.message})
    return refusal
