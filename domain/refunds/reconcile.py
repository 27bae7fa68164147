"""Looks after refunds whose gateway has more to say, and after any that nobody looks after.

A refund the gateway has taken is final when it says so; webhooks tell, and these looks are for when one was lost. An approved refund
without a live job would be forgotten: each gets one again.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from domain.access import SYSTEM
from domain.db import now
from domain.jobs.commands import enqueue_unless_live
from domain.jobs.models import Job, JobStatus
from domain.jobs.outcomes import Again, Done, Outcome
from domain.jobs.types import REFUND_PROCESSING, REFUND_RECONCILE
from domain.refunds.commands.decision import enqueue_payout
from domain.refunds.gateway import Gateways, Order, Pending, Processed, Rejected
from domain.refunds.models import AttemptState, ProcessingState, Refund, RefundAttempt, RefundStatus
from domain.refunds.queries import lock_refund
from domain.refunds.settlement import Transactions, order_of
from domain.refunds.verdicts import CHECK_DONE_AFTER, CHECK_PENDING_AFTER, adopt

LOOKED_AT_ONCE = 50


def wanted(session: Session) -> bool:
    """Whether anything is due and no reconciliation is on its way."""
    live = select(Job.id).where(Job.type == REFUND_RECONCILE.name, Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))).limit(1)
    if session.scalar(live) is not None:
        return False
    return (
        session.scalar(select(RefundAttempt.id).where(due()).limit(1)) is not None
        or session.scalar(select(Refund.id).where(unattended()).limit(1)) is not None
    )


def request(session: Session) -> Job | None:
    """Ask for a reconciliation if one is wanted."""
    return enqueue_unless_live(session, REFUND_RECONCILE.name) if wanted(session) else None


def reconcile(transactions: Transactions, gateways: Gateways) -> Outcome:
    """One round: jobs for whatever has none, then a look at each taken refund that is due."""
    with transactions() as session:
        revived = attend(session)
        looks = take_due(session)
    for look in looks:
        finding = gateways[look.gateway].get(look.gateway_refund_id, look.order)
        if isinstance(finding, Processed | Pending | Rejected):
            with transactions() as session:
                refund = lock_refund(session, look.order.refund_id)
                attempt = session.get_one(RefundAttempt, look.attempt_id, with_for_update=True, populate_existing=True)
                adopt(session, refund, attempt, finding)
    if len(looks) == LOOKED_AT_ONCE:
        return Again(0, "More refunds are due for a look")
    return Done({"looked_at": len(looks), "jobs_made": revived})


@dataclass(frozen=True)
class Look:
    attempt_id: UUID
    gateway: str
    gateway_refund_id: str
    order: Order


def due() -> ColumnElement[bool]:
    return (
        RefundAttempt.state.in_((AttemptState.ACCEPTED, AttemptState.DONE))
        & (RefundAttempt.next_check_at <= now())
        & RefundAttempt.gateway_refund_id.is_not(None)
    )


def take_due(session: Session) -> list[Look]:
    """The refunds to look at now; each one's next look is set before the gateway is asked, so none is looked at in a loop."""
    rows = session.execute(
        select(RefundAttempt, Refund)
        .join(Refund, Refund.id == RefundAttempt.refund_id)
        .where(due())
        .order_by(RefundAttempt.next_check_at)
        .limit(LOOKED_AT_ONCE)
        .with_for_update(of=RefundAttempt, skip_locked=True)
    ).all()
    looks = []
    for attempt, refund in rows:
        after = CHECK_DONE_AFTER if attempt.state == AttemptState.DONE else CHECK_PENDING_AFTER
        assert attempt.gateway_refund_id is not None
        attempt.checks += 1
        if attempt.checks < len(after):
            attempt.next_check_at = now() + after[attempt.checks]
        else:
            attempt.next_check_at = None if attempt.state == AttemptState.DONE else now() + after[-1]
        looks.append(Look(attempt.id, attempt.gateway, attempt.gateway_refund_id, order_of(refund, attempt)))
    return looks


def unattended() -> ColumnElement[bool]:
    live = exists().where(
        Job.type == REFUND_PROCESSING.name, Job.subject_id == Refund.id, Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
    )
    return (
        (Refund.status == RefundStatus.APPROVED)
        & Refund.processing_state.in_((ProcessingState.QUEUED, ProcessingState.ASKING, ProcessingState.UNKNOWN))
        & ~live
    )


def attend(session: Session) -> int:
    refunds = session.scalars(select(Refund).where(unattended()).limit(500).with_for_update(skip_locked=True)).all()
    for refund in refunds:
        enqueue_payout(session, SYSTEM, refund, None)
    return len(refunds)
