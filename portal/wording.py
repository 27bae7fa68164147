"""What states, reasons and events are called on the pages, each once."""

from dataclasses import dataclass
from datetime import timedelta

from flask import Flask

from domain.db import now
from domain.refunds.models import Alternative, Priority, ProcessingState, Refund, RefundStatus

LATE_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Look:
    word: str
    tone: str
    icon: str


STATUSES = {
    RefundStatus.PENDING: Look("Pending", "warning", "clock"),
    RefundStatus.APPROVED: Look("Approved", "success", "circle-check"),
    RefundStatus.REJECTED: Look("Rejected", "danger", "circle-x"),
    RefundStatus.PROCESSED: Look("Processed", "violet", "banknote"),
}
HALF_APPROVED = Look("1 of 2 approved", "info", "users-round")
FAILED = Look("Payment failed", "danger", "circle-alert")
UNKNOWN = Look("Asking gateway", "warning", "hourglass")

PRIORITIES = {
    Priority.URGENT: Look("Urgent", "danger", "chevrons-up"),
    Priority.HIGH: Look("High", "danger", "chevrons-up"),
    Priority.NORMAL: Look("Normal", "neutral", "equal"),
    Priority.LOW: Look("Low", "neutral", "chevron-down"),
}
REASONS = (
    "service_not_provided",
    "not_as_described",
    "quality_issue",
    "late_service",
    "incomplete_service",
    "booking_cancelled",
    "duplicate_charge",
    "billing_error",
    "vendor_unavailable",
    "admin_request",
    "other",
)
ALTERNATIVES = {
    Alternative.NONE: "Nothing",
    Alternative.PARTIAL_CREDIT: "Partial credit",
    Alternative.FULL_CREDIT: "Full credit",
    Alternative.REBOOKING: "A new booking",
    Alternative.DISCOUNT: "A discount on the next booking",
}


def register(app: Flask) -> None:
    app.add_template_global(state_of, "state_of")
    app.add_template_filter(lambda name: PRIORITIES[name], "priority")
    app.add_template_filter(reason_words, "reason")
    app.add_template_filter(lambda method: method.replace("_", " "), "method")
    app.add_template_filter(lambda name: ALTERNATIVES[name], "alternative")
    app.add_template_filter(amount, "amount")
    app.add_template_filter(late, "late")


def state_of(refund: Refund, approvals: int = 0) -> Look:
    """How the refund stands. A failed payment and an unanswered gateway are told apart from a plain approval."""
    if refund.awaiting_decision:
        return HALF_APPROVED if approvals else STATUSES[RefundStatus.PENDING]
    if refund.processing_state == ProcessingState.FAILED:
        return FAILED
    if refund.processing_state == ProcessingState.UNKNOWN:
        return UNKNOWN
    return STATUSES[RefundStatus(refund.status)]


def reason_words(reason: str | None) -> str:
    return reason.replace("_", " ").capitalize() if reason else "No reason given"


def amount(refund: Refund) -> int:
    """The amount that counts now: what was approved, before that what was asked for."""
    return refund.approved_amount_cents or refund.requested_amount_cents


def late(refund: Refund) -> bool:
    return refund.awaiting_decision and now() - refund.requested_at >= LATE_AFTER
