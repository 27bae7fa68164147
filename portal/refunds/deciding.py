"""The forms of a decision: what they start with, what was typed, and a refusal put where it belongs."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import g, render_template, request

from domain.errors import Invalid
from domain.money import parse_amount, plain_amount, precision
from domain.refunds.models import Alternative, ProcessingState, RefundStatus
from domain.refunds.queries import RefundDetail
from portal.errors import Refusal
from portal.formats import age, money
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
        "button_amount": button_amount(refund.currency, start),
        "reason": typed("reason", ""),
        "admin_notes": typed("admin_notes", ""),
        "notify_user": ticked("notify_user"),
        "notify_vendor": ticked("notify_vendor"),
        "second": bool(first),
        "two": two,
        "ask_code": (two and not g.actor.has_fresh_mfa) or (refusal is not None and "mfa_code" in refusal.fields),
        "own": bool(first and first["admin_id"] == g.actor.admin_id),
    }
    return form_page("approve", detail, context, form, refusal)


def button_amount(currency: str, start: int) -> str:
    """The amount as typed so far; none where it cannot be read."""
    try:
        return money(amount_in(currency)(request.form["amount"]) if "amount" in request.form else start, currency)
    except Invalid:
        return ""


def reject_form(detail: RefundDetail, refusal: Refusal | None = None) -> str:
    form = {
        "reason": typed("reason", ""),
        "admin_notes": typed("admin_notes", ""),
        "offer_alternative": typed("offer_alternative", Alternative.NONE),
        "notify_user": ticked("notify_user"),
    }
    choices = [{"value": value, "word": word} for value, word in ALTERNATIVES.items()]
    return form_page("reject", detail, detail_context(detail) | {"alternatives": choices}, form, refusal)


def form_page(name: str, detail: RefundDetail, context: dict[str, Any], form: dict[str, Any], refusal: Refusal | None) -> str:
    if not detail.refund.awaiting_decision:
        said = who_decided(detail) or f"This refund is {detail.refund.status}."
        refusal = Refusal("Already decided", said, code="NOT_PENDING", status=409)
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


def amount_in(currency: str) -> Callable[[str], int]:
    """Reads an amount as people of the admin's locale write it."""
    return lambda text: parse_amount(text, currency, g.actor.locale)


def said(detail: RefundDetail) -> str:
    """The sentence after an act: what has become of the refund, and of the money."""
    refund = detail.refund
    cents = money(refund.approved_amount_cents or refund.requested_amount_cents, refund.currency)
    if refund.awaiting_decision:
        return f"{refund.refund_number}: your approval is noted. A second admin must confirm before money moves."
    if refund.status == RefundStatus.REJECTED:
        return f"{refund.refund_number} rejected."
    words = {
        ProcessingState.DONE: f"approved, {cents} refunded.",
        ProcessingState.ACCEPTED: f"approved, {cents} taken by the gateway.",
        ProcessingState.UNKNOWN: "approved. The gateway gave no certain answer yet; it is being asked.",
        ProcessingState.FAILED: f"approved, but the payment failed: {refund.processing_message or 'the gateway declined it'}",
    }
    return f"{refund.refund_number} {words.get(ProcessingState(refund.processing_state or 'queued'), f'approved, {cents} is on its way.')}"


def who_decided(detail: RefundDetail) -> str | None:
    """Who was faster, and how long ago: "Omar Haddad approved it 20 s ago"."""
    refund = detail.refund
    rejected = refund.status == RefundStatus.REJECTED
    at, by = (refund.rejected_at, refund.rejected_by) if rejected else (refund.approved_at, refund.approved_by)
    if at is None or by not in detail.admins:
        return None
    name = "You" if by == g.actor.admin_id else detail.admins[by].name
    return f"{name} {'rejected' if rejected else 'approved'} it {age(at)} ago."


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
