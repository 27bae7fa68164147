"""Referrals as programs see them: the frontend's names, field by field, and what it may find useful beside them."""

from typing import Any

from marshmallow import Schema, fields

from api.envelope import ListMeta
from api.outputs.fields import Moment
from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.referrals.detail import ReferralDetail
from domain.referrals.queries import CONDITIONS, ReferralRow
from domain.referrals.risks import RiskCode


class ReferrerPart(Schema):
    id = fields.UUID()
    name = fields.String()
    email = fields.String()
    total_referrals = fields.Integer()
    total_earned_cents = fields.Integer(metadata={"description": "Rewards issued to this person, in the currency of this referral."})
    total_paid_cents = fields.Integer(metadata={"description": "Those of them paid out, in the currency of this referral."})
    earned_by_currency = fields.Dict(keys=fields.String(), values=fields.Integer())


class ReferredPart(Schema):
    id = fields.UUID()
    name = fields.String()
    email = fields.String()
    signup_date = Moment()
    first_booking_date = Moment(allow_none=True)


class ConditionsPart(Schema):
    signup = fields.Boolean()
    email_verified = fields.Boolean()
    first_booking = fields.Boolean()
    minimum_spend = fields.Boolean()


class RiskPart(Schema):
    code = fields.String(metadata={"enum": list(RiskCode)})
    reason = fields.String(metadata={"description": "For people: may change."})


class ReferralSchema(Schema):
    id = fields.UUID(metadata={"example": "4c0d9f5e-8a53-4f0c-9f5e-1f5f5d6c7b8a"})
    referrer = fields.Nested(ReferrerPart)
    referred_user = fields.Nested(ReferredPart)
    referral_code = fields.String(allow_none=True)
    status = fields.String(metadata={"enum": list(ReferralStatus), "description": "As it counts now; `payout_status` tells of the money."})
    reward_amount_cents = fields.Integer(metadata={"description": "Minor units of `currency`; due once every condition is met."})
    currency = fields.String()
    credited_at = Moment(allow_none=True)
    payout_status = fields.String(metadata={"enum": list(PayoutStatus)})
    created_at = Moment()
    expires_at = Moment(allow_none=True)
    conditions_met = fields.Nested(ConditionsPart)
    missing_conditions = fields.List(fields.String(metadata={"enum": list(CONDITIONS)}))
    days_left = fields.Integer(allow_none=True, metadata={"description": "Begun days until it expires; null unless it is pending and can."})
    risks = fields.List(
        fields.Nested(RiskPart), metadata={"description": "Why the reward may be undeserved: reasons to look, no verdicts."}
    )


class PaidPart(Schema):
    id = fields.UUID()
    amount_cents = fields.Integer()
    currency = fields.String()
    status = fields.String()
    paid_at = Moment(allow_none=True)


class RefundedPart(Schema):
    id = fields.UUID()
    refund_number = fields.String()
    status = fields.String()
    requested_amount_cents = fields.Integer()
    approved_amount_cents = fields.Integer(allow_none=True)
    currency = fields.String()


class PurchasePart(Schema):
    id = fields.UUID(attribute="booking.id")
    booking_number = fields.String(attribute="booking.booking_number")
    status = fields.String(attribute="booking.status")
    created_at = Moment(attribute="booking.created_at")
    counts = fields.Boolean(metadata={"description": "It was booked before the reward was issued, or before the referral expires."})
    payments = fields.List(fields.Nested(PaidPart))
    refunds = fields.List(fields.Nested(RefundedPart))


class SpentPart(Schema):
    paid_cents = fields.Integer()
    refunded_cents = fields.Integer()


class ReferralDetailSchema(ReferralSchema):
    bookings = fields.List(fields.Nested(PurchasePart), metadata={"description": "Of the referred user, the first 50."})
    bookings_left_out = fields.Integer()
    spent_by_currency = fields.Dict(
        keys=fields.String(), values=fields.Nested(SpentPart), metadata={"description": "Paid for the bookings that count, and refunded."}
    )


class SumsPart(Schema):
    total_rewards_cents = fields.Integer()
    total_paid_cents = fields.Integer()


class ReferralSummary(Schema):
    pending = fields.Integer()
    completed = fields.Integer(metadata={"description": "All whose reward was issued, `paid` among them."})
    paid = fields.Integer(metadata={"description": "Those of `completed` whose reward was paid out."})
    expired = fields.Integer()
    total_rewards_cents = fields.Integer(metadata={"description": "Rewards of `completed` in the default currency."})
    total_paid_cents = fields.Integer(metadata={"description": "Rewards of `paid` in the default currency."})
    by_currency = fields.Dict(keys=fields.String(), values=fields.Nested(SumsPart))
    payouts = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "How many of `completed` stand at each payout status."}
    )


class ReferralListMeta(ListMeta):
    summary = fields.Nested(  # type: ignore[assignment]
        ReferralSummary,
        metadata={"description": "Under every filter but `status`; counted at most five minutes ago. `total_items` is live."},
    )
    summary_age_seconds = fields.Integer(required=True, metadata={"description": "How long ago the summary was counted."})


def listed(row: ReferralRow) -> dict[str, Any]:
    referral, totals = row.referral, row.referrer
    names = ("id", "referral_code", "reward_amount_cents", "currency", "credited_at", "payout_status", "created_at", "expires_at")
    return {name: getattr(referral, name) for name in names} | {
        "status": row.status,
        "referrer": {
            **person(referral.referrer),
            "total_referrals": totals.count,
            "total_earned_cents": totals.earned.get(referral.currency, 0),
            "total_paid_cents": totals.paid.get(referral.currency, 0),
            "earned_by_currency": dict(sorted(totals.earned.items())),
        },
        "referred_user": {
            **person(referral.referred_user),
            "signup_date": referral.referred_user.created_at,
            "first_booking_date": row.first_booking_at,
        },
        "conditions_met": {name: getattr(referral, name) for name in CONDITIONS},
        "missing_conditions": row.missing,
        "days_left": row.days_left,
        "risks": row.risks,
    }


def detailed(found: ReferralDetail) -> dict[str, Any]:
    return listed(found) | {
        "bookings": found.purchases,
        "bookings_left_out": found.purchases_left_out,
        "spent_by_currency": found.spent,
    }


def person(user: Any) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "email": user.email}
