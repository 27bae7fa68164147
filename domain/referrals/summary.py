"""The counts and sums above a list of referrals: at most five minutes old, and the same for whoever asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.cache import Cache, Kept, remembered
from domain.db import dump_json, now
from domain.marketplace.models import PayoutStatus, Referral, ReferralStatus
from domain.referrals.filters import ReferralFilters
from domain.referrals.risks import RiskCode, has_risk
from domain.referrals.states import ReferralState, standing

LASTS = timedelta(minutes=5)


def summarise_referrals(session: Session, actor: Actor, filters: ReferralFilters, cache: Cache) -> Kept:
    """Counts per state under every filter but `status`, and the rewards issued and paid per currency in its minor units."""
    actor.require(Permission.REFERRALS_LIST)
    name = "referrals:" + sha256(dump_json(filters.narrowing()).encode("utf-8", "surrogatepass")).hexdigest()
    return remembered(cache, name, LASTS, lambda: count(session, filters))


def count(session: Session, filters: ReferralFilters) -> dict[str, Any]:
    status = standing(now()).label("standing")
    rows = (
        select(status, Referral.payout_status, Referral.currency, func.count(), func.sum(Referral.reward_amount_cents))
        .where(*filters.conditions())
        .group_by(status, Referral.payout_status, Referral.currency)
    )
    counts = dict.fromkeys(map(str, ReferralState), 0)
    payouts = dict.fromkeys(map(str, PayoutStatus), 0)
    sums: dict[str, dict[str, int]] = {}
    for standing_now, payout, currency, number, cents in session.execute(rows):
        counts[standing_now] += number
        if standing_now != ReferralStatus.COMPLETED:
            continue
        payouts[payout] += number
        total = sums.setdefault(currency, {"total_rewards_cents": 0, "total_paid_cents": 0})
        total["total_rewards_cents"] += int(cents)
        if payout == PayoutStatus.PAID:
            counts[ReferralState.PAID] += number
            total["total_paid_cents"] += int(cents)
    return {**counts, "payouts": payouts, "by_currency": dict(sorted(sums.items()))}


def told(value: dict[str, Any], default_currency: str) -> dict[str, Any]:
    """A summary with its plain sums: those in the default currency, since no two currencies are ever added up."""
    plain = value["by_currency"].get(default_currency, {"total_rewards_cents": 0, "total_paid_cents": 0})
    counts = {str(name): value[name] for name in (*ReferralState, "payouts", "by_currency")}
    return {**counts, **plain}


def count_risks(session: Session, actor: Actor, cache: Cache) -> Kept:
    """How many referrals bear each mark, over all of them."""
    actor.require(Permission.REFERRALS_LIST)
    return remembered(cache, "referrals:risks", LASTS, lambda: dict(marked(session, RiskCode)))


def marked(session: Session, codes: Iterable[RiskCode]) -> Iterable[tuple[str, int]]:
    for code in codes:
        yield str(code), session.scalar(select(func.count()).select_from(Referral).where(has_risk((code,)))) or 0
