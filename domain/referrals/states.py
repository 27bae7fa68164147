"""What a referral counts as at a given moment."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_

from domain.marketplace.models import PayoutStatus, Referral, ReferralStatus


class ReferralState(StrEnum):
    """What a list may be asked for. `paid` is the part of `completed` whose reward was paid out."""

    PENDING = "pending"
    COMPLETED = "completed"
    PAID = "paid"
    EXPIRED = "expired"


def overdue(moment: datetime) -> ColumnElement[bool]:
    """Still pending in its row, and past its time."""
    return and_(Referral.status == ReferralStatus.PENDING, Referral.expires_at <= moment)


def standing(moment: datetime) -> ColumnElement[str]:
    """The status that counts: no clock writes `expired` into a row whose time is over."""
    return case((overdue(moment), str(ReferralStatus.EXPIRED)), else_=Referral.status)


def standing_of(referral: Referral, moment: datetime) -> ReferralStatus:
    """The same for a row in hand."""
    over = referral.status == ReferralStatus.PENDING and referral.expires_at is not None and referral.expires_at <= moment
    return ReferralStatus.EXPIRED if over else ReferralStatus(referral.status)


def is_in(states: tuple[str, ...], moment: datetime) -> ColumnElement[bool]:
    """Whether it counts as one of these."""
    return or_(*(CONDITIONS[ReferralState(state)](moment) for state in states))


def is_pending(moment: datetime) -> ColumnElement[bool]:
    return and_(Referral.status == ReferralStatus.PENDING, or_(Referral.expires_at.is_(None), Referral.expires_at > moment))


def is_completed(_moment: datetime) -> ColumnElement[bool]:
    return Referral.status == ReferralStatus.COMPLETED


def is_paid(_moment: datetime) -> ColumnElement[bool]:
    return and_(Referral.status == ReferralStatus.COMPLETED, Referral.payout_status == PayoutStatus.PAID)


def is_expired(moment: datetime) -> ColumnElement[bool]:
    return or_(Referral.status == ReferralStatus.EXPIRED, overdue(moment))


CONDITIONS: dict[ReferralState, Any] = {
    ReferralState.PENDING: is_pending,
    ReferralState.COMPLETED: is_completed,
    ReferralState.PAID: is_paid,
    ReferralState.EXPIRED: is_expired,
}
