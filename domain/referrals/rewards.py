"""Which bookings earned a reward: those that the referred user made until the reward was issued.

The marketplace issues a reward once the referred user's first booking and spending so far are enough, so every booking up to that
moment had its part in it, and a refund of any of them takes something back of what was rewarded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, contains_eager

from domain.access import Actor, Permission
from domain.marketplace.models import Booking, PayoutStatus, Referral, ReferralStatus, User
from domain.refunds.models import ProcessingState, Refund, RefundStatus


def rewarded() -> ColumnElement[bool]:
    """The reward of this referral has been issued."""
    return and_(Referral.status == ReferralStatus.COMPLETED, Referral.credited_at.is_not(None))


def earned_by() -> ColumnElement[bool]:
    """This booking had its part in the reward of this referral, if that was issued."""
    return and_(Booking.user_id == Referral.referred_user_id, Booking.created_at <= Referral.credited_at)


def given_back_after() -> ColumnElement[bool]:
    """This refund was granted after the reward of this referral had been issued, and its payment has not failed."""
    return and_(
        Refund.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED)),
        or_(Refund.processing_state.is_(None), Refund.processing_state != ProcessingState.FAILED),
        Refund.approved_at >= Referral.credited_at,
    )


def refunds_after_rewards() -> ColumnElement[bool]:
    """Whether any booking that earned the reward was refunded after it."""
    return (
        select(Refund.id)
        .join(Booking, Booking.id == Refund.booking_id)
        .where(rewarded(), Refund.user_id == Referral.referred_user_id, earned_by(), given_back_after())
        .correlate(Referral)
        .exists()
    )


@dataclass(frozen=True)
class Return:
    """A refund that was granted after the reward, of a booking that had earned it."""

    referral_id: UUID
    refund_id: UUID
    refund_number: str
    amount_cents: int
    currency: str


def returns_of(session: Session, referrals: Collection[Referral]) -> list[Return]:
    """The refunds behind the mark of these referrals, newest first."""
    # The status is looked at here: asked for it, SQLite would go through all that are completed and look for these among them.
    issued = [referral.id for referral in referrals if referral.status == ReferralStatus.COMPLETED and referral.credited_at]
    if not issued:
        return []
    found = session.execute(
        select(Referral.id, Refund)
        .join(Refund, Refund.user_id == Referral.referred_user_id)
        .join(Booking, Booking.id == Refund.booking_id)
        .where(Referral.id.in_(issued), earned_by(), given_back_after())
        .order_by(Refund.approved_at.desc(), Refund.id)
    )
    return [
        Return(referral_id, refund.id, refund.refund_number, refund.approved_amount_cents or refund.requested_amount_cents, refund.currency)
        for referral_id, refund in found
    ]


@dataclass(frozen=True)
class Reward:
    """A reward that a booking helped to earn. Whose it is, is for those who may see referrals."""

    referral_id: UUID
    referrer: User | None
    amount_cents: int
    currency: str
    payout_status: PayoutStatus
    credited_at: datetime | None


def rewards_of_booking(session: Session, actor: Actor, booking_id: UUID) -> list[Reward]:
    """The rewards that a refund of this booking touches, oldest first."""
    seen = actor.can(Permission.REFERRALS_LIST)
    found = session.scalars(
        select(Referral)
        .join(Booking, and_(Booking.id == booking_id, rewarded(), earned_by()))
        .join(Referral.referrer)
        .options(contains_eager(Referral.referrer))
        .order_by(Referral.credited_at, Referral.id)
        .limit(20)
    )
    return [
        Reward(
            row.id,
            row.referrer if seen else None,
            row.reward_amount_cents,
            row.currency,
            PayoutStatus(row.payout_status),
            row.credited_at,
        )
        for row in found
    ]
