"""One referral: how far it came, both people, and what the referred user bought."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flask import g, url_for

from domain.access import Permission
from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.referrals.detail import Purchase, ReferralDetail
from domain.referrals.risks import Risk
from portal.formats import money
from portal.referrals import listing, wording
from portal.wording import amount, state_of


def detail_context(found: ReferralDetail) -> dict[str, Any]:
    referral = found.referral
    return {
        "referral": referral,
        "line": listing.line(found),
        "steps": steps(found),
        "marks": [mark(risk) for risk in found.risks],
        "standing": standing(found),
        "purchases": [purchase(one) for one in found.purchases],
        "left_out": found.purchases_left_out,
        "spent": spent(found),
        "timeline": sorted(timeline(found), key=lambda event: event["at"], reverse=True),
        "list_url": listing.ReferralsQuery().url(),
    }


def steps(found: ReferralDetail) -> list[dict[str, Any]]:
    """The four conditions, each with its mark and what is known of it."""
    referral, user = found.referral, found.referral.referred_user
    known: dict[str, tuple[datetime | None, str]] = {
        "signup": (user.created_at, ""),
        "email_verified": (user.email_verified_at, user.email),
        "first_booking": (found.first_booking_at, ""),
        "minimum_spend": (None, spent(found)),
    }
    return [
        {"word": word, "icon": icon, "met": getattr(referral, name), "at": known[name][0], "note": known[name][1]}
        for name, (word, icon) in wording.CONDITIONS.items()
    ]


def spent(found: ReferralDetail) -> str:
    """What the bookings that count come to. How much the marketplace asks for is not known here."""
    words = []
    for currency, cents in found.spent.items():
        refunded = f" ({money(cents.refunded_cents, currency)} refunded)" if cents.refunded_cents else ""
        words.append(f"{money(cents.paid_cents, currency)} paid{refunded}")
    return ", ".join(words) or "Nothing paid yet"


def standing(found: ReferralDetail) -> dict[str, Any] | None:
    """What about the reward needs a sentence."""
    referral = found.referral
    if found.status == ReferralStatus.PENDING:
        left = wording.days_words(found.days_left)
        return {"title": left or "Does not expire", "tone": "warning", "icon": "clock", "text": listing.lacks(found, with_days=False) + "."}
    if found.status == ReferralStatus.EXPIRED:
        return {"title": "Expired before every condition was met", "tone": "neutral", "icon": "ban", "text": listing.lacks(found) + "."}
    if referral.payout_status == PayoutStatus.FAILED:
        return {"title": "The payout failed", "tone": "danger", "icon": "circle-alert", "text": "The referrer has not got the reward."}
    if referral.payout_status == PayoutStatus.REVERSED:
        return {"title": "The payout was reversed", "tone": "neutral", "icon": "undo-2", "text": "The reward was taken back."}
    return None


AFTER_REWARD = "What earned the reward was refunded after it:"


def mark(risk: Risk) -> dict[str, Any]:
    refunds = [
        {"number": one.refund_number, "amount": money(one.amount_cents, one.currency), "url": refund_url(one.refund_id)}
        for one in risk.refunds
    ]
    return {"look": wording.RISKS[risk.code], "reason": AFTER_REWARD if refunds else risk.reason, "refunds": refunds}


def refund_url(refund_id: Any) -> str | None:
    return url_for("portal.refunds.show", refund_id=refund_id) if g.actor.can(Permission.REFUNDS_LIST) else None


def purchase(one: Purchase) -> dict[str, Any]:
    return {
        "number": one.booking.booking_number,
        "at": one.booking.created_at,
        "status": one.booking.status.replace("_", " "),
        "counts": one.counts,
        "paid": [money(payment.amount_cents, payment.currency) for payment in one.payments if payment.captured],
        "refunds": [
            {
                "number": refund.refund_number,
                "url": refund_url(refund.id),
                "look": state_of(refund),
                "amount": money(amount(refund), refund.currency),
            }
            for refund in one.refunds
        ],
    }


def timeline(found: ReferralDetail) -> Iterator[dict[str, Any]]:
    """What is known to have happened, and when. When a reward was paid out is not told by the marketplace."""
    referral, user = found.referral, found.referral.referred_user
    yield happened("Referred", referral.created_at, "gift", note=f"Code {referral.referral_code}" if referral.referral_code else None)
    yield happened("Signed up", user.created_at, "user-round")
    if user.email_verified_at:
        yield happened("E-mail verified", user.email_verified_at, "mail")
    for place, one in enumerate(found.purchases):
        yield happened("First booking" if place == 0 else "Booked", one.booking.created_at, "receipt-text", note=one.booking.booking_number)
        for refund in one.refunds:
            if refund.approved_at:
                note = f"{refund.refund_number}, {money(amount(refund), refund.currency)}"
                yield happened("Refund approved", refund.approved_at, "undo-2", "danger" if found.status == "completed" else "", note)
    if referral.credited_at:
        yield happened(
            "Reward issued", referral.credited_at, "circle-check", "success", money(referral.reward_amount_cents, referral.currency)
        )
    if found.status == ReferralStatus.EXPIRED and referral.expires_at:
        yield happened("Expired", referral.expires_at, "ban")


def happened(word: str, at: datetime, icon: str, tone: str = "", note: str | None = None) -> dict[str, Any]:
    return {"word": word, "at": at, "icon": icon, "tone": tone, "note": note}
