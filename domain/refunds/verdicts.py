"""Writing down what a gateway said of a refund, whoever brought it: an answer, a look-up or a webhook.

Said twice it changes nothing, and in any order it ends the same: pending < processed < failed, and no word takes a refund back down.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit, notifications
from domain.access import SYSTEM
from domain.db import now
from domain.refunds.gateway import Facts, Pending, Processed, Rejected
from domain.refunds.models import AttemptState, ProcessingState, Refund, RefundAttempt, RefundStatus

log = logging.getLogger(__name__)

CHECK_PENDING_AFTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=6), timedelta(days=1))
CHECK_DONE_AFTER = (timedelta(minutes=2), timedelta(days=1), timedelta(days=7))
"""A refund can fail after it was final. Webhooks tell; these looks are for when one was lost."""


def adopt(session: Session, refund: Refund, attempt: RefundAttempt, verdict: Processed | Pending | Rejected) -> None:
    """Take over what the gateway states of the refund it made for this attempt; both rows are locked."""
    facts = verdict.facts
    assert facts is not None
    wrong = contradiction(attempt, facts)
    if wrong:
        log.error("refund %s: the gateway's refund %s does not fit: %s", refund.refund_number, facts.gateway_refund_id, wrong)
        if attempt.state not in (AttemptState.DONE, AttemptState.FAILED):
            uncertain(refund, attempt, f"{wrong} A person must look at it in the gateway's dashboard.")
            audit.record(session, SYSTEM, "refund.contradicted", refund, message=wrong, gateway_refund_id=facts.gateway_refund_id)
        return
    dead = attempt.state == AttemptState.FAILED
    if dead and not isinstance(verdict, Rejected):
        if attempt.gateway_refund_id is not None:
            return  # the gateway failed this refund of its own: an older word of it came late
        if not revive(session, refund, attempt, facts):
            return
    attempt.gateway_refund_id = facts.gateway_refund_id
    attempt.reference = facts.reference or attempt.reference
    if isinstance(verdict, Rejected):
        decline(session, refund, attempt, verdict)
    elif isinstance(verdict, Processed):
        finish(session, refund, attempt)
    else:
        accept(session, refund, attempt)


def revive(session: Session, refund: Refund, attempt: RefundAttempt, facts: Facts) -> bool:
    """The gateway had declined this order and made the refund after all: it counts, unless another attempt has been made since."""
    other = session.scalar(select(RefundAttempt.id).where(RefundAttempt.refund_id == refund.id, RefundAttempt.state != AttemptState.FAILED))
    message = f"The gateway declined the order and made the refund {facts.gateway_refund_id[:60]} after all."
    log.error("refund %s: %s", refund.refund_number, message)
    audit.record(session, SYSTEM, "refund.contradicted", refund, message=message, gateway_refund_id=facts.gateway_refund_id)
    if other is None:
        attempt.state = AttemptState.UNKNOWN
        session.flush()
    return other is None


def contradiction(attempt: RefundAttempt, facts: Facts) -> str | None:
    if facts.amount_cents != attempt.amount_cents:
        return f"The gateway reports an amount of {facts.amount_cents}, we ordered {attempt.amount_cents}."
    if facts.currency.upper() != attempt.currency:
        return f"The gateway reports the currency {facts.currency[:10]}, we ordered {attempt.currency}."
    if facts.payment_ids and not facts.is_for(attempt.provider_payment_id):
        return "The gateway reports another payment than the one we ordered it for."
    if attempt.gateway_refund_id is not None and attempt.gateway_refund_id != facts.gateway_refund_id:
        return f"The gateway made a second refund {facts.gateway_refund_id[:60]} for one order."
    return None


def finish(session: Session, refund: Refund, attempt: RefundAttempt) -> None:
    if attempt.state == AttemptState.DONE:
        return
    before = str(refund.status)
    attempt.state, attempt.finished_at, attempt.message, attempt.error_code = AttemptState.DONE, now(), None, None
    attempt.checks, attempt.next_check_at = 0, now() + CHECK_DONE_AFTER[0]
    refund.status, refund.processed_at = RefundStatus.PROCESSED, now()
    refund.processing_state, refund.processing_message = ProcessingState.DONE, None
    refund.transaction_id = attempt.gateway_refund_id
    audit.record(
        session,
        SYSTEM,
        "refund.processed",
        refund,
        before={"status": before},
        after={"status": "processed"},
        amount_cents=attempt.amount_cents,
        currency=attempt.currency,
        gateway=attempt.gateway,
        transaction_id=attempt.gateway_refund_id,
    )


def accept(session: Session, refund: Refund, attempt: RefundAttempt) -> None:
    if attempt.state in (AttemptState.ACCEPTED, AttemptState.DONE):
        return
    attempt.state, attempt.message, attempt.error_code = AttemptState.ACCEPTED, None, None
    attempt.checks, attempt.next_check_at = 0, now() + CHECK_PENDING_AFTER[0]
    refund.processing_state, refund.processing_message = ProcessingState.ACCEPTED, None
    refund.transaction_id = attempt.gateway_refund_id
    audit.record(
        session,
        SYSTEM,
        "refund.accepted",
        refund,
        after={"processing_state": "accepted"},
        amount_cents=attempt.amount_cents,
        currency=attempt.currency,
        gateway=attempt.gateway,
        transaction_id=attempt.gateway_refund_id,
    )


def decline(session: Session, refund: Refund, attempt: RefundAttempt, verdict: Rejected) -> None:
    """Declined for good, at once or after it was done: back to approved, for a person to decide what next."""
    if attempt.state == AttemptState.FAILED:
        return
    before = str(refund.status)
    attempt.state, attempt.finished_at, attempt.next_check_at = AttemptState.FAILED, now(), None
    attempt.error_code, attempt.message = verdict.code, verdict.message
    refund.status, refund.processed_at, refund.transaction_id = RefundStatus.APPROVED, None, None
    refund.processing_state, refund.processing_message = ProcessingState.FAILED, verdict.message
    audit.record(
        session,
        SYSTEM,
        "refund.failed",
        refund,
        before={"status": before},
        after={"status": "approved", "processing_state": "failed"},
        gateway=attempt.gateway,
        code=verdict.code,
        message=verdict.message,
        transaction_id=attempt.gateway_refund_id,
    )
    notifications.request_failure(session, refund)


def not_taken(refund: Refund, attempt: RefundAttempt, message: str) -> None:
    """The gateway certainly has not taken it: the same bytes may go out again."""
    attempt.state, attempt.message = AttemptState.QUEUED, message
    refund.processing_state, refund.processing_message = ProcessingState.QUEUED, message


def uncertain(refund: Refund, attempt: RefundAttempt, message: str) -> None:
    """Sent, and no certain answer: it is looked up until there is one, and no clock ever makes it failed."""
    attempt.state, attempt.message = AttemptState.UNKNOWN, message
    refund.processing_state, refund.processing_message = ProcessingState.UNKNOWN, message
