"""What /metrics tells beyond the state of the services: numbers that a monitor draws over weeks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditHead
from domain.jobs import counts
from domain.jobs.models import JobStatus
from domain.refunds.models import Refund
from domain.traffic.queries import Total, totals


@dataclass(frozen=True)
class Tallies:
    requests: Sequence[Total]
    jobs: Mapping[str, int]
    refunds: Mapping[tuple[str, str], int]
    """By status and by the state of the payment, which is empty before a decision."""
    audit_head: int


def tally(session: Session, actor: Actor) -> Tallies:
    actor.require(Permission.SYSTEM_HEALTH)
    found = counts.by_status(session)
    by_state = select(Refund.status, Refund.processing_state, func.count()).group_by(Refund.status, Refund.processing_state)
    return Tallies(
        requests=totals(session, actor),
        jobs={str(status): found.get(status, 0) for status in JobStatus},
        refunds={(str(status), str(state or "")): count for status, state, count in session.execute(by_state)},
        audit_head=session.scalar(select(AuditHead.sequence)) or 0,
    )
