"""What a decision on many refunds would be about, before it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.refunds.models import Refund, RefundStatus
from domain.refunds.policy import RefundPolicy


@dataclass(frozen=True)
class Preview:
    """`alone`: those one admin may decide; `two`: those that two must approve; `decided`: how many are no longer pending."""

    alone: Sequence[UUID]
    two: Sequence[UUID]
    decided: int
    by_currency: dict[str, int]

    @property
    def pending(self) -> list[UUID]:
        return [*self.alone, *self.two]


def preview_decisions(session: Session, actor: Actor, policy: RefundPolicy, refund_ids: Collection[UUID]) -> Preview:
    """Tell these refunds apart. The sums are of those one admin may decide, in each currency's minor units."""
    actor.require(Permission.REFUNDS_APPROVE)
    columns = (Refund.id, Refund.payment_id, Refund.status, Refund.currency, Refund.requested_amount_cents)
    rows = session.execute(select(*columns).where(Refund.id.in_(set(refund_ids)))).all()
    given = select(Refund.payment_id, func.sum(Refund.approved_amount_cents)).where(
        Refund.payment_id.in_({row.payment_id for row in rows}), Refund.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED))
    )
    approved = {payment_id: int(total or 0) for payment_id, total in session.execute(given.group_by(Refund.payment_id))}
    order = {refund_id: place for place, refund_id in enumerate(refund_ids)}
    alone, two, sums = [], [], dict[str, int]()
    pending = [row for row in rows if row.status == RefundStatus.PENDING]
    for row in sorted(pending, key=lambda row: order[row.id]):
        if policy.needs_two(row.currency, approved.get(row.payment_id, 0) + row.requested_amount_cents):
            two.append(row.id)
        else:
            alone.append(row.id)
            sums[row.currency] = sums.get(row.currency, 0) + row.requested_amount_cents
    return Preview(alone, two, len(rows) - len(pending), dict(sorted(sums.items())))
