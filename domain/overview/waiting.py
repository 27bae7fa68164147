"""What waits for somebody to look at it or to decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.db import now
from domain.jobs.attention import LATELY
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import visible
from domain.refunds.models import ProcessingState, Refund, RefundApproval, RefundStatus
from domain.refunds.policy import APPROVAL_LASTS
from domain.refunds.queries import awaiting_approval_of, within


@dataclass(frozen=True)
class Undecided:
    """The refunds of one currency that wait for a decision, by how long; the amount in its minor units.

    `ages` are counts between the moments that were asked about, the newest first: since the first of them, between it and the second,
    and so on, and last what is older than all.
    """

    currency: str
    count: int
    amount_cents: int
    oldest_at: datetime
    ages: tuple[int, ...]


def list_undecided(session: Session, actor: Actor, moments: Sequence[datetime]) -> list[Undecided]:
    """The pending refunds by currency, by age between these moments, newest first."""
    actor.require(Permission.REFUNDS_LIST)
    ends = [None, *moments[:-1]]
    newer = [func.sum(case((within(Refund.requested_at, first, end), 1), else_=0)) for first, end in zip(moments, ends, strict=True)]
    found = session.execute(
        select(Refund.currency, func.count(), func.sum(Refund.requested_amount_cents), func.min(Refund.requested_at), *newer)
        .where(Refund.status == RefundStatus.PENDING)
        .group_by(Refund.currency)
        .order_by(Refund.currency)
    )
    return [
        Undecided(currency, count, int(total), oldest, (*map(int, ages), count - sum(map(int, ages))))
        for currency, count, total, oldest, *ages in found
    ]


def count_my_approvals(session: Session, actor: Actor) -> int:
    """How many refunds wait for a second approval that the actor may give."""
    actor.require(Permission.REFUNDS_APPROVE)
    lately = select(RefundApproval.refund_id).where(RefundApproval.created_at > now() - APPROVAL_LASTS)  # few of all there are
    counted = select(func.count()).select_from(Refund).where(Refund.id.in_(lately), *awaiting_approval_of(actor.admin_id))
    return session.scalar(counted) or 0


def count_troubled(session: Session, actor: Actor) -> dict[ProcessingState, int]:
    """How many approved refunds the gateway declined for good, and how many it gave no certain answer to."""
    actor.require(Permission.REFUNDS_LIST)
    states = (ProcessingState.FAILED, ProcessingState.UNKNOWN)
    counted = select(Refund.processing_state, func.count()).where(Refund.processing_state.in_(states)).group_by(Refund.processing_state)
    return dict.fromkeys(states, 0) | {ProcessingState(str(state)): count for state, count in session.execute(counted)}


def count_failed_jobs(session: Session, actor: Actor) -> int:
    """How many jobs failed in the last 24 hours, of those the actor may see."""
    # Not "status is failed": by that alone an index would be read through all failures there ever were.
    failed = Job.status.not_in((JobStatus.PENDING, JobStatus.PROCESSING, JobStatus.SUCCEEDED, JobStatus.CANCELLED))
    return session.scalar(select(func.count()).select_from(Job).where(*visible(actor), Job.finished_at >= now() - LATELY, failed)) or 0
