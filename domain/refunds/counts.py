"""Figures about refunds that stand outside any list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.refunds.models import Refund, RefundStatus


@dataclass(frozen=True)
class Selection:
    """How many refunds were picked, and what was requested in each currency, in its minor units."""

    count: int
    by_currency: dict[str, int]


def count_pending(session: Session, actor: Actor) -> int:
    """How many refunds wait for a decision."""
    actor.require(Permission.REFUNDS_LIST)
    return session.scalar(select(func.count()).select_from(Refund).where(Refund.status == RefundStatus.PENDING)) or 0


def sum_selected(session: Session, actor: Actor, refund_ids: Collection[UUID]) -> Selection:
    """Add up the requested amounts of these refunds, currency by currency. Ids that are not refunds count for nothing."""
    actor.require(Permission.REFUNDS_LIST)
    if not refund_ids:
        return Selection(0, {})
    sums = session.execute(
        select(Refund.currency, func.count(), func.sum(Refund.requested_amount_cents))
        .where(Refund.id.in_(set(refund_ids)))
        .group_by(Refund.currency)
        .order_by(Refund.currency)
    ).all()
    return Selection(sum(count for _, count, _ in sums), {currency: int(total) for currency, _, total in sums})
