"""One referral with what the referred user has booked, paid and been given back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from domain.access import Actor, Permission
from domain.db import now
from domain.errors import NotFound
from domain.marketplace.models import Booking, Payment, Referral, ReferralStatus
from domain.referrals.queries import ReferralRow, described
from domain.refunds.models import Refund, RefundStatus

MOST_BOOKINGS = 50


@dataclass(frozen=True)
class Purchase:
    """A booking of the referred user. `counts`: it had its part in the reward, or can still have it."""

    booking: Booking
    counts: bool
    payments: Sequence[Payment]
    refunds: Sequence[Refund]


@dataclass(frozen=True)
class Spent:
    """Of the bookings that count, in minor units of one currency."""

    paid_cents: int
    refunded_cents: int


@dataclass(frozen=True)
class ReferralDetail(ReferralRow):
    purchases: Sequence[Purchase]
    purchases_left_out: int
    spent: dict[str, Spent]


def get_referral(session: Session, actor: Actor, referral_id: UUID) -> ReferralDetail:
    """One referral with all that is known of it. Raises NotFound."""
    actor.require(Permission.REFERRALS_LIST)
    people = (joinedload(Referral.referrer, innerjoin=True), joinedload(Referral.referred_user, innerjoin=True))
    referral = session.scalar(select(Referral).where(Referral.id == referral_id).options(*people))
    if referral is None:
        raise NotFound("There is no referral with this id.")
    row = described(session, [referral], now())[0]
    known = {field.name: getattr(row, field.name) for field in fields(row)}
    whose = Booking.user_id == referral.referred_user_id
    bookings = session.scalars(select(Booking).where(whose).order_by(Booking.created_at, Booking.id).limit(MOST_BOOKINGS)).all()
    total = session.scalar(select(func.count()).select_from(Booking).where(whose)) or 0
    return ReferralDetail(
        **known, purchases=purchases(session, row, bookings), purchases_left_out=total - len(bookings), spent=spent(session, row)
    )


def purchases(session: Session, row: ReferralRow, bookings: Sequence[Booking]) -> list[Purchase]:
    ids = [booking.id for booking in bookings]
    payments: dict[UUID, list[Payment]] = defaultdict(list)
    for payment in session.scalars(select(Payment).where(Payment.booking_id.in_(ids)).order_by(Payment.paid_at, Payment.id)):
        payments[payment.booking_id].append(payment)
    refunds: dict[UUID, list[Refund]] = defaultdict(list)
    for refund in session.scalars(select(Refund).where(Refund.booking_id.in_(ids)).order_by(Refund.requested_at, Refund.id)):
        refunds[refund.booking_id].append(refund)
    return [Purchase(booking, counts(row, booking), payments[booking.id], refunds[booking.id]) for booking in bookings]


def counts(row: ReferralRow, booking: Booking) -> bool:
    until = counts_until(row)
    return until is None or booking.created_at <= until


def counts_until(row: ReferralRow) -> datetime | None:
    return row.referral.credited_at if row.status == ReferralStatus.COMPLETED else row.referral.expires_at


def spent(session: Session, row: ReferralRow) -> dict[str, Spent]:
    """What was paid for the bookings that count and what of it was given back, in each currency."""
    until = counts_until(row)
    which = [Booking.user_id == row.referral.referred_user_id] + ([Booking.created_at <= until] if until else [])
    captured = (
        select(Payment.currency, func.sum(Payment.amount_cents))
        .join(Booking, Booking.id == Payment.booking_id)
        .where(*which, Payment.status == "captured")
        .group_by(Payment.currency)
    )
    returned = (
        select(Refund.currency, func.sum(Refund.approved_amount_cents))
        .join(Booking, Booking.id == Refund.booking_id)
        .where(*which, Refund.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED)))
        .group_by(Refund.currency)
    )
    paid = {currency: int(cents) for currency, cents in session.execute(captured)}
    back = {currency: int(cents or 0) for currency, cents in session.execute(returned)}
    return {currency: Spent(paid.get(currency, 0), back.get(currency, 0)) for currency in sorted(paid | back)}
