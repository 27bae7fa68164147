"""Refunds as programs see them: the frontend's names, field by field, and what it may find useful beside them."""

from typing import Any

from marshmallow import Schema, fields

from api.outputs.fields import Moment
from domain.refunds.commands.decision import Decision
from domain.refunds.models import Refund, RefundStatus
from domain.refunds.queries import RefundDetail, RefundRow

STATES = {
    "queued": "The gateway is about to be asked.",
    "asking": "The gateway is being asked.",
    "unknown": "The gateway gave no certain answer; the refund is being looked up.",
    "accepted": "The gateway has taken the refund; it is not final yet.",
    "done": "The gateway says it is final.",
    "failed": "The gateway declined; a person decides what next.",
}


class PaymentPart(Schema):
    id = fields.UUID()
    amount_cents = fields.Integer()
    currency = fields.String()
    paid_at = Moment(allow_none=True)
    provider = fields.String()
    method = fields.String(allow_none=True)


class BookingPart(Schema):
    id = fields.UUID()
    booking_number = fields.String()
    scheduled_at = Moment(allow_none=True)


class UserPart(Schema):
    id = fields.UUID()
    name = fields.String()
    email = fields.String()


class VendorPart(Schema):
    id = fields.UUID()
    name = fields.String()


class Evidence(Schema):
    type = fields.String()
    url = fields.String(metadata={"description": "An https link. The portal never fetches it."})


class Processing(Schema):
    state = fields.String(metadata={"enum": list(STATES)})
    message = fields.String()


class Approvals(Schema):
    required = fields.Integer()
    received = fields.Integer()


class RefundSchema(Schema):
    id = fields.UUID(metadata={"example": "0d4a2f3e-8a53-4f0c-9f5e-1f5f5d6c7b8a"})
    refund_number = fields.String(metadata={"example": "RF-2025-001234"})
    status = fields.String(metadata={"enum": ["pending", "approved", "rejected", "processed"]})
    payment = fields.Nested(PaymentPart)
    booking = fields.Nested(BookingPart)
    user = fields.Nested(UserPart)
    vendor = fields.Nested(VendorPart)
    currency = fields.String()
    requested_amount_cents = fields.Integer(metadata={"description": "Minor units of `currency`."})
    approved_amount_cents = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    description = fields.String(allow_none=True)
    evidence = fields.List(fields.Nested(Evidence))
    requested_at = Moment()
    requested_by = fields.String()
    requested_by_admin_id = fields.UUID(allow_none=True)
    priority = fields.String()
    admin_notes = fields.String(allow_none=True)
    decision_reason = fields.String(allow_none=True)
    approved_at = Moment(allow_none=True)
    approved_by = fields.UUID(allow_none=True)
    rejected_at = Moment(allow_none=True)
    rejected_by = fields.UUID(allow_none=True)
    offer_alternative = fields.String(allow_none=True)
    approvals_received = fields.Integer(metadata={"description": "Approvals that still count, while it is pending."})
    refund_processed = fields.Boolean(metadata={"description": "Whether the gateway has taken it."})
    processing = fields.Nested(Processing, allow_none=True)
    transaction_id = fields.String(allow_none=True)
    processed_at = Moment(allow_none=True)


class ApprovalPart(Schema):
    admin = fields.Nested(Schema.from_dict({"id": fields.UUID(), "name": fields.String()}, name="AdminPart"))
    amount_cents = fields.Integer()
    reason = fields.String()
    approved_at = Moment(attribute="created_at")
    counts = fields.Boolean(metadata={"description": "False once it has lapsed, or its admin may no longer approve."})


class AttemptPart(Schema):
    number = fields.Integer()
    gateway = fields.String()
    state = fields.String()
    amount_cents = fields.Integer()
    currency = fields.String()
    transaction_id = fields.String(attribute="gateway_refund_id", allow_none=True)
    reference = fields.String(allow_none=True)
    error_code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    created_at = Moment()
    last_sent_at = Moment(allow_none=True)
    finished_at = Moment(allow_none=True)


class TimelinePart(Schema):
    action = fields.String()
    at = Moment()
    by = fields.String()
    details = fields.Dict()


class SiblingPart(Schema):
    id = fields.UUID()
    refund_number = fields.String()
    status = fields.String()
    requested_amount_cents = fields.Integer()
    approved_amount_cents = fields.Integer(allow_none=True)
    requested_at = Moment()


class MoneyPart(Schema):
    currency = fields.String()
    paid_cents = fields.Integer()
    refunded_cents = fields.Integer()
    refundable_cents = fields.Integer()
    dual_limit_cents = fields.Integer(allow_none=True, metadata={"description": "Null: every refund in this currency needs two approvals."})


class RewardPart(Schema):
    referral_id = fields.UUID()
    referrer = fields.Nested(
        Schema.from_dict({"id": fields.UUID(), "name": fields.String()}, name="RewardedPart"),
        allow_none=True,
        metadata={"description": "Null for those without the permission `referrals:list`."},
    )
    reward_amount_cents = fields.Integer(attribute="amount_cents")
    currency = fields.String()
    payout_status = fields.String()
    credited_at = Moment()


class RefundDetailSchema(RefundSchema):
    approvals = fields.List(fields.Nested(ApprovalPart))
    approvals_required = fields.Integer()
    attempts = fields.List(fields.Nested(AttemptPart))
    timeline = fields.List(fields.Nested(TimelinePart))
    other_refunds = fields.List(fields.Nested(SiblingPart))
    money = fields.Nested(MoneyPart)
    referral_rewards = fields.List(
        fields.Nested(RewardPart),
        metadata={"description": "Rewards that this booking helped to earn: a refund takes back what they rest on."},
    )


class ApprovalResultSchema(Schema):
    id = fields.UUID()
    refund_number = fields.String()
    status = fields.String(
        metadata={
            "enum": ["pending", "approved"],
            "description": "What was decided: `pending` while a second approval is missing. `processing` tells of the money.",
        }
    )
    approved_amount_cents = fields.Integer(allow_none=True)
    currency = fields.String()
    approved_at = Moment(allow_none=True)
    approved_by = fields.UUID(allow_none=True)
    refund_processed = fields.Boolean()
    transaction_id = fields.String(allow_none=True)
    job_id = fields.UUID(allow_none=True)
    processing = fields.Nested(Processing, allow_none=True)
    approvals = fields.Nested(Approvals)
    dry_run = fields.Boolean()


class RejectionResultSchema(Schema):
    id = fields.UUID()
    refund_number = fields.String()
    status = fields.String(metadata={"enum": ["rejected"]})
    rejected_at = Moment()
    rejected_by = fields.UUID()
    reason = fields.String(attribute="decision_reason")
    offer_alternative = fields.String()
    dry_run = fields.Boolean()


def listed(row: RefundRow) -> dict[str, Any]:
    return facts(row.refund) | {
        "payment": row.refund.payment,
        "booking": row.refund.booking,
        "user": row.refund.user,
        "vendor": row.refund.vendor,
        "approvals_received": row.approvals_received,
    }


def facts(refund: Refund) -> dict[str, Any]:
    names = [column.key for column in Refund.__table__.columns]
    return {name: getattr(refund, name) for name in names} | {
        "refund_processed": refund.refund_processed,
        "processing": processing(refund),
    }


def processing(refund: Refund) -> dict[str, str] | None:
    if refund.processing_state is None:
        return None
    return {"state": refund.processing_state, "message": refund.processing_message or STATES[refund.processing_state]}


def detailed(detail: RefundDetail) -> dict[str, Any]:
    live = {approval.id for approval in detail.live_approvals}
    return listed(RefundRow(detail.refund, detail.approvals_received)) | {
        "approvals": [
            {
                "admin": approval.admin,
                "amount_cents": approval.amount_cents,
                "reason": approval.reason,
                "created_at": approval.created_at,
                "counts": approval.id in live,
            }
            for approval in detail.approvals
        ],
        "approvals_required": detail.approvals_required(),
        "attempts": detail.attempts,
        "timeline": [
            {"action": entry.action, "at": entry.created_at, "by": entry.actor_name, "details": entry.details} for entry in detail.timeline
        ],
        "other_refunds": detail.siblings,
        "money": detail.money,
        "referral_rewards": detail.rewards,
    }


def decided(decision: Decision, *, dry_run: bool = False) -> dict[str, Any]:
    refund = decision.refund
    return facts(refund) | {
        "status": RefundStatus.APPROVED if refund.decided_for else refund.status,
        "job_id": None if decision.job is None or dry_run or refund.refund_processed else decision.job.id,
        "approvals": {"required": decision.approvals_required, "received": decision.approvals_received},
        "dry_run": dry_run,
    }
