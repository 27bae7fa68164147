"""What makes a reward look undeserved. A mark is a reason to look, never a verdict.

The rules are SQL, so that the marks on a page, the filter and the counts cannot differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, aliased

from domain.marketplace.models import Referral
from domain.money import format_money
from domain.referrals.expressions import moved
from domain.referrals.rewards import Return, refunds_after_rewards, returns_of

MANY = 5
NEARBY = timedelta(hours=24)
"""So many referrals of one referrer, each within this time of the other, are many."""

Nearby = aliased(Referral)


class RiskCode(StrEnum):
    SAME_EMAIL = "same_email"
    SAME_NAME = "same_name"
    MANY_AT_ONCE = "many_at_once"
    REFUNDED = "refunded"


@dataclass(frozen=True)
class Risk:
    """A mark and why it is there, with the refunds behind it where it is about refunds."""

    code: RiskCode
    reason: str
    refunds: tuple[Return, ...] = ()


def has_risk(codes: Collection[str]) -> ColumnElement[bool]:
    return or_(*(RULES[RiskCode(code)]() for code in codes))


def same_email() -> ColumnElement[bool]:
    return Referral.same_email.expression


def same_name() -> ColumnElement[bool]:
    return Referral.same_name.expression


def many_at_once() -> ColumnElement[bool]:
    # Whoever has fewer altogether need not be looked at one by one.
    often = select(Nearby.referrer_id).group_by(Nearby.referrer_id).having(func.count() >= MANY)
    return and_(Referral.referrer_id.in_(often), nearby() >= MANY)


def nearby() -> ColumnElement[int]:
    """How many referrals the same person made around this one, itself among them."""
    hours = int(NEARBY.total_seconds() // 3600)
    around = and_(Nearby.created_at >= moved(Referral.created_at, -hours), Nearby.created_at <= moved(Referral.created_at, hours))
    return select(func.count()).where(Nearby.referrer_id == Referral.referrer_id, around).correlate(Referral).scalar_subquery()


RULES: dict[RiskCode, Any] = {
    RiskCode.SAME_EMAIL: same_email,
    RiskCode.SAME_NAME: same_name,
    RiskCode.MANY_AT_ONCE: many_at_once,
    RiskCode.REFUNDED: refunds_after_rewards,
}


# Made once: it is long, and each page asks it.
FACTS = select(Referral.id, same_email(), same_name(), nearby()).where(Referral.id.in_(bindparam("ids", expanding=True)))


def risks_of(session: Session, referrals: Collection[Referral]) -> dict[UUID, list[Risk]]:
    """The marks of these referrals, with their reasons in words."""
    if not referrals:
        return {}
    returns: dict[UUID, list[Return]] = defaultdict(list)
    for one in returns_of(session, referrals):
        returns[one.referral_id].append(one)
    facts = session.execute(FACTS, {"ids": [referral.id for referral in referrals]})
    return {id: list(marks(one_box, one_name, around, returns[id])) for id, one_box, one_name, around in facts}


def marks(one_box: bool, one_name: bool, around: int, returns: list[Return]) -> Iterator[Risk]:
    if one_box:
        yield Risk(RiskCode.SAME_EMAIL, "Both accounts get their mail in the same box.")
    if one_name:
        yield Risk(RiskCode.SAME_NAME, "Both accounts bear the same name.")
    if around >= MANY:
        hours = f"{NEARBY.total_seconds() / 3600:.0f} hours"
        yield Risk(RiskCode.MANY_AT_ONCE, f"{around} referrals of this referrer within {hours} of this one.")
    if returns:
        told = ", ".join(f"{one.refund_number} ({format_money(one.amount_cents, one.currency, code=True)})" for one in returns[:3])
        more = f" and {len(returns) - 3} more" if len(returns) > 3 else ""
        yield Risk(RiskCode.REFUNDED, f"What earned the reward was refunded after it: {told}{more}.", tuple(returns))
