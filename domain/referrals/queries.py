"""Reading referrals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from domain.access import Actor, Permission
from domain.cache import Cache
from domain.db import now
from domain.marketplace.models import Booking, PayoutStatus, Referral, ReferralStatus
from domain.pagination import Page, PageRequest, Position, cut, window
from domain.referrals.filters import ReferralFilters
from domain.referrals.risks import Risk, risks_of
from domain.referrals.states import is_in, standing_of
from domain.referrals.summary import summarise_referrals, told

CONDITIONS = ("signup", "email_verified", "first_booking", "minimum_spend")


@dataclass
class Totals:
    """All referrals of one referrer. Money is per currency, in its minor units."""

    count: int = 0
    earned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class ReferralRow:
    """One line of the list: a referral with both its people loaded, as it stood at `moment`."""

    referral: Referral
    referrer: Totals
    first_booking_at: datetime | None
    risks: Sequence[Risk]
    moment: datetime

    @property
    def status(self) -> ReferralStatus:
        return standing_of(self.referral, self.moment)

    @property
    def missing(self) -> list[str]:
        return [name for name in CONDITIONS if not getattr(self.referral, name)]

    @property
    def days_left(self) -> int | None:
        """Whole or begun days until a pending one expires; None where none runs out."""
        if self.status != ReferralStatus.PENDING or self.referral.expires_at is None:
            return None
        return math.ceil((self.referral.expires_at - self.moment).total_seconds() / 86_400)


@dataclass(frozen=True)
class ReferralPage(Page[ReferralRow]):
    summary_age_seconds: int = 0

    @property
    def meta(self) -> dict[str, object]:
        return super().meta | {"summary_age_seconds": self.summary_age_seconds}


def list_referrals(session: Session, actor: Actor, filters: ReferralFilters, cache: Cache, default_currency: str) -> ReferralPage:
    """A page of referrals, newest first, and how many there are, as they are now; the summary may be a few minutes old."""
    actor.require(Permission.REFERRALS_LIST)
    moment = now()
    conditions = filters.conditions() + ([is_in(filters.status, moment)] if filters.status else [])
    rows = (
        select(Referral)
        .where(*conditions)
        .options(joinedload(Referral.referrer, innerjoin=True), joinedload(Referral.referred_user, innerjoin=True))
    )
    found = session.scalars(window(rows, filters, Referral.created_at.expression, Referral.id.expression)).all()
    items, more = cut(found, filters)
    summary = summarise_referrals(session, actor, filters, cache)
    return ReferralPage(
        items=described(session, items, moment),
        total_items=total(session, conditions, filters, items, more),
        request=PageRequest(filters.page, filters.page_size, filters.cursor),
        next_cursor=Position(items[-1].created_at, items[-1].id).encode() if more else None,
        summary=told(summary.value, default_currency),
        summary_age_seconds=summary.age_seconds,
    )


def total(session: Session, conditions: list[ColumnElement[bool]], request: PageRequest, items: Sequence[Referral], more: bool) -> int:
    """How many there are now. A last page with rows tells by itself, which spares a filter that finds few a second search."""
    if request.cursor is None and not more and (items or request.page == 1):
        return (request.page - 1) * request.page_size + len(items)
    return session.scalar(select(func.count()).select_from(Referral).where(*conditions)) or 0


def described(session: Session, referrals: Sequence[Referral], moment: datetime) -> list[ReferralRow]:
    totals = totals_of(session, {referral.referrer_id for referral in referrals})
    booked = first_bookings(session, {referral.referred_user_id for referral in referrals})
    risks = risks_of(session, referrals)
    return [
        ReferralRow(referral, totals[referral.referrer_id], booked.get(referral.referred_user_id), risks.get(referral.id, []), moment)
        for referral in referrals
    ]


def totals_of(session: Session, referrer_ids: Collection[UUID]) -> dict[UUID, Totals]:
    found: dict[UUID, Totals] = defaultdict(Totals)
    group = (Referral.referrer_id, Referral.status, Referral.payout_status, Referral.currency)
    rows = (
        select(*group, func.count(), func.sum(Referral.reward_amount_cents)).where(Referral.referrer_id.in_(referrer_ids)).group_by(*group)
    )
    for referrer_id, status, payout, currency, count, cents in session.execute(rows):
        totals = found[referrer_id]
        totals.count += count
        if status == ReferralStatus.COMPLETED:
            totals.earned[currency] += int(cents)
            totals.paid[currency] += int(cents) if payout == PayoutStatus.PAID else 0
    return found


def first_bookings(session: Session, user_ids: Collection[UUID]) -> dict[UUID, datetime]:
    rows = select(Booking.user_id, func.min(Booking.created_at)).where(Booking.user_id.in_(user_ids)).group_by(Booking.user_id)
    return dict(session.execute(rows).all())
