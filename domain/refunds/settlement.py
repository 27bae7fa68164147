"""Asking the gateway: from an approved refund to money that has moved, exactly once.

Nobody else calls a gateway to give money back. Each step is a short transaction, then a call with no transaction open, then another
short transaction:

    no attempt   -> write one (key, exact bytes), commit, send it
    queued       -> certainly not taken: send the same bytes again; after a restore, which may have lost that they were sent, look first
    asking       -> whoever sent it never wrote what came of it: unknown
    unknown      -> look it up; found: adopt it; proven absent: send the same bytes under the same key
    accepted     -> final when the gateway says so (webhook, or reconcile.py)
    failed       -> declined for good; a person may retry, and that makes the next attempt, after a look that the last is really dead

What a caller may write is fenced by `call_id`: one that was overtaken writes nothing. Facts a gateway states (a refund of its own, with
our mark on it) are adopted whoever brings them: answer, look-up or webhook. See docs/adr/0001-a-refund-is-paid-exactly-once.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs import leases
from domain.jobs.commands import Holder
from domain.jobs.models import Job, JobStatus
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from domain.jobs.types import REFUND_PROCESSING
from domain.marketplace.models import Payment
from domain.refunds.gateway import (
    Absent,
    Finding,
    Gateway,
    Gateways,
    Order,
    Pending,
    Processed,
    Rejected,
    RetryLater,
    Unknown,
)
from domain.refunds.models import AttemptState, ProcessingState, Refund, RefundAttempt, RefundStatus
from domain.refunds.queries import lock_refund
from domain.refunds.verdicts import adopt, decline, not_taken, uncertain
from domain.restores.guard import frozen_by, restored_since

log = logging.getLogger(__name__)

Transactions = Callable[[], AbstractContextManager[Session]]
"""Opens a session whose block is one transaction: committed at its end, rolled back by an exception (sessionmaker.begin)."""

STEPS_AT_ONCE = 4
LOOK_FIRST_AFTER = timedelta(minutes=10)
GRANT_SECONDS = 20.0
"""A call that has not left this long after it was granted never does: its process was stopped meanwhile, and the world went on."""


KEY_SPENT = "KEY_SPENT"
LOOKED_UP = "LOOKED_UP"  # the gateway has just said that it has no such order
FROZEN_SECONDS = 30.0
LOOK_UPS_KNOW_AFTER = timedelta(seconds=30)


class Call(Enum):
    CREATE = "create"
    FIND = "find"
    CONFIRM_FAILED = "confirm_failed"  # is the last attempt really dead, before the next one is made?


@dataclass(frozen=True)
class Step:
    """One call that was granted and committed."""

    call: Call
    attempt_id: UUID
    call_id: UUID
    order: Order
    gateway: str


def settle(transactions: Transactions, gateways: Gateways, refund_id: UUID, *, seconds: float | None = None) -> Outcome:
    """Bring an approved refund as far as its gateway lets it go now; the worker and the approving request both call this.

    The caller holds the refund's job. `seconds` bounds the whole of it. Answers Done when the gateway has taken it, Failed when it
    declined, Again with the seconds to wait otherwise.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    for _ in range(STEPS_AT_ONCE):
        granted = time.monotonic()
        with transactions() as session:
            step = next_step(session, gateways, refund_id)
        if not isinstance(step, Step):
            return step
        left = None if ends is None else ends - time.monotonic()
        if (left is not None and left <= 0) or time.monotonic() - granted > GRANT_SECONDS:
            finding: Finding = RetryLater(0, "There was no time left to ask the gateway; a worker goes on.")
            if step.call is not Call.CREATE:
                finding = Unknown("There was no time left to look the refund up; a worker goes on.")
        else:
            finding = ask(gateways[step.gateway], step, left)
        with transactions() as session:
            outcome = write(session, step, finding, refund_id)
        if outcome is not None:
            return outcome
    return Again(1, "Going on in a moment")


def next_step(session: Session, gateways: Gateways, refund_id: UUID) -> Step | Outcome:
    """Decide what to ask the gateway next and commit to it before anything is sent."""
    refund = lock_refund(session, refund_id)
    if refund.status != RefundStatus.APPROVED:
        return Done({"status": str(refund.status), "transaction_id": refund.transaction_id})
    if refund.processing_state == ProcessingState.FAILED:
        return Failed("DECLINED", refund.processing_message or "The gateway declined this refund.")
    attempts = list(session.scalars(select(RefundAttempt).where(RefundAttempt.refund_id == refund.id).order_by(RefundAttempt.number)))
    active = next((attempt for attempt in attempts if attempt.state != AttemptState.FAILED), None)
    if active is None and attempts and attempts[-1].call_id is not None:
        return grant(session, refund, attempts[-1], Call.CONFIRM_FAILED)
    if frozen_by(session) is not None and (active is None or active.state == AttemptState.QUEUED):
        return Again(FROZEN_SECONDS, "Data was restored: nothing is paid until the report of that is acknowledged")
    if active is None:
        active = new_attempt(session, gateways, refund, number=attempts[-1].number + 1 if attempts else 1)
    if active.state in (AttemptState.ACCEPTED, AttemptState.DONE):
        return taken(refund)
    if active.state == AttemptState.QUEUED and not must_look_first(session, refund, active):
        return grant(session, refund, active, Call.CREATE)
    return grant(session, refund, active, Call.FIND)


def new_attempt(session: Session, gateways: Gateways, refund: Refund, number: int) -> RefundAttempt:
    payment = session.get_one(Payment, refund.payment_id)
    assert refund.approved_amount_cents is not None
    attempt = RefundAttempt(
        refund_id=refund.id,
        number=number,
        gateway=payment.provider,
        gateway_key=f"rr-{refund.id}-a{number}",
        provider_payment_id=payment.provider_payment_id,
        amount_cents=refund.approved_amount_cents,
        currency=refund.currency,
        body=b"",
        state=AttemptState.QUEUED,
        checks=0,
    )
    attempt.body = gateways[payment.provider].prepare(order_of(refund, attempt))
    session.add(attempt)
    return attempt


def grant(session: Session, refund: Refund, attempt: RefundAttempt, call: Call) -> Step:
    """Mark the attempt as ours for one call. Until its answer is written the refund shows that the gateway is being asked."""
    attempt.call_id = uuid4()
    if call is Call.CREATE:
        attempt.state, attempt.last_sent_at, attempt.error_code = AttemptState.ASKING, now(), None
        refund.processing_state, refund.processing_message = ProcessingState.ASKING, None
    elif call is Call.FIND and attempt.state != AttemptState.QUEUED:
        attempt.state = AttemptState.UNKNOWN
        refund.processing_state = ProcessingState.UNKNOWN
        refund.processing_message = refund.processing_message or "The gateway gave no certain answer. The refund is being looked up."
    attempt.checks += 1
    session.flush()
    return Step(call, attempt.id, attempt.call_id, order_of(refund, attempt), attempt.gateway)


def must_look_first(session: Session, refund: Refund, attempt: RefundAttempt) -> bool:
    """Its key may be forgotten at the gateway, or the order have been sent before a restore of data that did not have it yet."""
    if attempt.last_sent_at is not None and now() - attempt.last_sent_at > LOOK_FIRST_AFTER:
        return True
    return attempt.error_code != LOOKED_UP and restored_since(session, refund.requested_at)


def order_of(refund: Refund, attempt: RefundAttempt) -> Order:
    return Order(
        refund_id=refund.id,
        refund_number=refund.refund_number,
        attempt=attempt.number,
        key=attempt.gateway_key,
        provider_payment_id=attempt.provider_payment_id,
        amount_cents=attempt.amount_cents,
        currency=attempt.currency,
        body=attempt.body,
    )


def ask(gateway: Gateway, step: Step, seconds: float | None) -> Finding:
    if step.call is Call.CREATE:
        return gateway.create(step.order, deadline=seconds)
    return gateway.find(step.order, deadline=seconds)


def write(session: Session, step: Step, finding: Finding, refund_id: UUID) -> Outcome | None:
    """Write down what the gateway answered; None where the next step can follow at once."""
    refund = lock_refund(session, refund_id)
    attempt = session.get_one(RefundAttempt, step.attempt_id, with_for_update=True, populate_existing=True)
    overtaken = attempt.call_id != step.call_id
    if step.call is Call.CONFIRM_FAILED and not isinstance(finding, Processed | Pending):
        if overtaken:
            return Again(1, "Another worker went on with this refund")
        if isinstance(finding, Absent | Rejected):
            attempt.call_id = None
            return None
        return Again(backoff(attempt), "Making sure that the attempt before is dead")
    if isinstance(finding, Processed | Pending) or (isinstance(finding, Rejected) and finding.facts is not None):
        adopt(session, refund, attempt, finding)
        return settled(refund)
    if overtaken:
        return Again(1, "Another worker went on with this refund")
    if attempt.gateway_refund_id is not None:
        return settled(refund)  # a webhook was faster than the answer
    if isinstance(finding, Rejected):
        decline(session, refund, attempt, finding)
        return settled(refund)
    if isinstance(finding, Absent) and attempt.error_code == KEY_SPENT:
        return give_up_key(refund, attempt)
    if isinstance(finding, Absent):
        not_taken(refund, attempt, "The gateway does not know this refund: it is sent again.")
        attempt.last_sent_at, attempt.error_code = None, LOOKED_UP
        return None
    if isinstance(finding, RetryLater) and finding.alarm:
        log.error("gateway %s needs attention: %s", step.gateway, finding.message)
    after = backoff(attempt)
    if isinstance(finding, RetryLater):
        after = max(finding.after, after) if finding.after else 0
    if attempt.state == AttemptState.QUEUED or (isinstance(finding, RetryLater) and step.call is Call.CREATE):
        not_taken(refund, attempt, finding.message)
    else:
        uncertain(refund, attempt, finding.message)
    if isinstance(finding, Unknown) and finding.key_spent:
        attempt.error_code = KEY_SPENT
    return Again(after, finding.message)


def give_up_key(refund: Refund, attempt: RefundAttempt) -> Outcome | None:
    """The gateway failed this order, keeps answering so, and made no refund: proven, once look-ups have had time to know of one.

    The next attempt goes out under the next key, after one more look at this one.
    """
    assert attempt.last_sent_at is not None
    wait = (attempt.last_sent_at + LOOK_UPS_KNOW_AFTER - now()).total_seconds()
    if wait > 0:
        uncertain(refund, attempt, "The gateway failed while it worked on this refund. It is being looked up.")
        return Again(wait, "Giving the gateway's look-up time to know of the refund")
    attempt.state, attempt.finished_at = AttemptState.FAILED, now()
    refund.processing_state, refund.processing_message = ProcessingState.QUEUED, "The gateway failed on this order and made no refund."
    return None


def hold_payout(session: Session, refund_id: UUID, holder: Holder) -> UUID | None:
    """Take this refund's payout in hand: it may be the holder's already. None where there is none to do now, or another has it."""
    job = session.scalars(
        select(Job).where(
            Job.type == REFUND_PROCESSING.name, Job.subject_id == refund_id, Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
        )
    ).first()
    if job is None:
        return None
    if job.lease_owner != holder.name and leases.claim(session, job.id, holder.name, timedelta(seconds=holder.seconds)) is None:
        return None
    return job.id


def settle_held(
    transactions: Transactions, gateways: Gateways, job_id: UUID, owner: str, refund_id: UUID, *, seconds: float | None = None
) -> Outcome:
    """Settle under a job that the caller holds, and write down how the job went."""
    outcome = settle(transactions, gateways, refund_id, seconds=seconds)
    with transactions() as session:
        leases.finish(session, job_id, owner, outcome)
    return outcome


def settled(refund: Refund) -> Outcome:
    if refund.processing_state == ProcessingState.FAILED:
        return Failed("DECLINED", refund.processing_message or "The gateway declined this refund.")
    if refund.refund_processed:
        return taken(refund)
    return Again(60, refund.processing_message or "Waiting for the gateway")


def taken(refund: Refund) -> Done:
    return Done({"status": str(refund.status), "transaction_id": refund.transaction_id})


def backoff(attempt: RefundAttempt) -> float:
    """1, 2, 4 .. 15 seconds for the first dozen tries, then five minutes: most trouble passes, the rest needs a person."""
    return float(min(2 ** max(attempt.checks - 1, 0), 15)) if attempt.checks <= 24 else 300.0
