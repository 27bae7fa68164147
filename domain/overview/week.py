"""How many refunds were requested, decided and paid out on each of some days, and for how much in each currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.refunds.models import Refund


@dataclass
class Flow:
    """The refunds that something happened to: how many on each day, and their amounts over all days in minor units, by currency."""

    counts: list[int]
    by_currency: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Days:
    requested: Flow
    approved: Flow
    rejected: Flow
    paid: Flow


def summarise_days(session: Session, actor: Actor, edges: Sequence[datetime]) -> Days:
    """What happened between each of these moments and the next: the first day begins with the first, the last ends with the last."""
    actor.require(Permission.REFUNDS_LIST)
    return Days(
        requested=flow(session, edges, Refund.requested_at, Refund.requested_amount_cents),
        approved=flow(session, edges, Refund.approved_at, Refund.approved_amount_cents),
        rejected=flow(session, edges, Refund.rejected_at, Refund.requested_amount_cents),
        paid=flow(session, edges, Refund.processed_at, Refund.approved_amount_cents),
    )


def flow(session: Session, edges: Sequence[datetime], moment: Any, cents: Any) -> Flow:
    day = case(*((moment < end, place) for place, end in enumerate(edges[1:-1])), else_=len(edges) - 2)
    counted = (
        select(day.label("day"), Refund.currency, func.count(), func.sum(cents))
        .where(moment >= edges[0], moment < edges[-1])
        .group_by("day", Refund.currency)
        .order_by(Refund.currency)
    )
    found = Flow([0] * (len(edges) - 1))
    for place, currency, count, total in session.execute(counted):
        found.counts[place] += count
        found.by_currency[currency] = found.by_currency.get(currency, 0) + int(total or 0)
    return found
