"""Refunds, and refunds of a payment."""

from api.operations.parts import ADMIN_ID, JOB_ID, REFUND_ID, Operation, success
from api.operations.referrals import REFERRAL
from api.refusals import Refusal

PROCESSING_DONE = {"state": "accepted", "message": "The gateway has taken the refund; it is not final yet."}
REFUND = {
    "id": REFUND_ID,
    "refund_number": "RF-2025-001234",
    "status": "pending",
    "payment": {
        "id": "3f1c2b4a-5d6e-4f70-8a9b-0c1d2e3f4a5b",
        "amount_cents": 500000,
        "currency": "INR",
        "paid_at": "2025-11-01T10:00:00Z",
        "provider": "razorpay",
        "method": "card",
    },
    "booking": {
        "id": "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d",
        "booking_number": "BK-2025-005432",
        "scheduled_at": "2025-11-01T16:00:00Z",
    },
    "user": {"id": "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d", "name": "John Doe", "email": "john@example.com"},
    "vendor": {"id": "2b3c4d5e-6f7a-4b8c-9d0e-1f2a3b4c5d6e", "name": "ABC Services"},
    "currency": "INR",
    "requested_amount_cents": 500000,
    "approved_amount_cents": None,
    "reason": "service_not_provided",
    "description": "Vendor never showed up for scheduled appointment",
    "evidence": [{"type": "image", "url": "https://cdn.example.com/proof.jpg"}],
    "requested_at": "2025-11-02T08:00:00Z",
    "requested_by": "user",
    "requested_by_admin_id": None,
    "priority": "high",
    "admin_notes": None,
    "decision_reason": None,
    "approved_at": None,
    "approved_by": None,
    "rejected_at": None,
    "rejected_by": None,
    "offer_alternative": None,
    "approvals_received": 0,
    "refund_processed": False,
    "processing": None,
    "transaction_id": None,
    "processed_at": None,
}
APPROVED = {
    "id": REFUND_ID,
    "refund_number": "RF-2025-001234",
    "status": "approved",
    "approved_amount_cents": 500000,
    "currency": "INR",
    "approved_at": "2025-11-12T11:00:00Z",
    "approved_by": ADMIN_ID,
    "refund_processed": True,
    "transaction_id": "rfnd_FP8QHiV938haTz",
    "job_id": None,
    "processing": PROCESSING_DONE,
    "approvals": {"required": 1, "received": 1},
    "dry_run": False,
}
WAITING = {
    **APPROVED,
    "status": "pending",
    "approved_amount_cents": None,
    "approved_at": None,
    "approved_by": None,
    "refund_processed": False,
    "transaction_id": None,
    "processing": None,
    "approvals": {"required": 2, "received": 1},
}
NOT_PENDING = Refusal(409, "NOT_PENDING", "This refund was already decided: it is approved.", {"current_status": "approved"})
SAME_APPROVER = Refusal(403, "SAME_APPROVER", "You gave the first approval: another admin must give the second.")
MISMATCH = Refusal(
    409,
    "APPROVAL_MISMATCH",
    "The first approval is for INR 4,500.00. Approve that amount, or reject the request.",
    {"approved_amount_cents": 450000},
)
NOT_REFUNDABLE = Refusal(422, "AMOUNT_NOT_REFUNDABLE", "More than is left of this payment.", {"refundable_cents": 120000})

OPERATIONS = {
    "refunds.index": Operation(
        answers={
            200: success(
                [REFUND],
                page=1,
                page_size=25,
                total_items=45,
                total_pages=2,
                summary={
                    "pending": 45,
                    "approved": 380,
                    "rejected": 65,
                    "processed": 350,
                    "total_amount_pending_cents": 2250000,
                    "by_currency": {"INR": 2250000, "USD": 91000},
                    "processing": {"failed": 2, "unknown": 1},
                },
                next_cursor="MjAyNS0xMS0wMlQwODowMDowMCswMDowMHwwZDRhMmYzZQ",
                ignored_parameters=[],
            )
        }
    ),
    "refunds.show": Operation(
        answers={
            200: success(
                {
                    **REFUND,
                    "approvals": [],
                    "approvals_required": 1,
                    "attempts": [],
                    "timeline": [{"action": "refund.requested", "at": "2025-11-02T08:00:00Z", "by": "System", "details": {}}],
                    "other_refunds": [],
                    "money": {
                        "currency": "INR",
                        "paid_cents": 500000,
                        "refunded_cents": 0,
                        "refundable_cents": 500000,
                        "dual_limit_cents": 8500000,
                    },
                    "referral_rewards": [
                        {
                            "referral_id": REFERRAL["id"],
                            "referrer": {"id": "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d", "name": "John Doe"},
                            "reward_amount_cents": 50000,
                            "currency": "INR",
                            "payout_status": "scheduled",
                            "credited_at": "2025-11-06T10:00:00Z",
                        }
                    ],
                }
            )
        }
    ),
    "refunds.approve": Operation(
        request={
            "approved_amount_cents": 500000,
            "reason": "Customer complaint verified. Service was not provided.",
            "admin_notes": "Contacted vendor - confirmed they missed appointment",
            "notify_user": True,
            "notify_vendor": True,
        },
        answers={200: success(APPROVED), 202: success(WAITING)},
        refusals=(NOT_PENDING, SAME_APPROVER, MISMATCH, NOT_REFUNDABLE),
    ),
    "refunds.reject": Operation(
        request={
            "reason": "Evidence shows service was provided and customer was satisfied at time of completion",
            "admin_notes": "Customer complaint appears to be retaliation",
            "notify_user": True,
            "offer_alternative": "partial_credit",
        },
        answers={
            200: success(
                {
                    "id": REFUND_ID,
                    "refund_number": "RF-2025-001234",
                    "status": "rejected",
                    "rejected_at": "2025-11-12T11:05:00Z",
                    "rejected_by": ADMIN_ID,
                    "reason": "Evidence shows service was provided and customer was satisfied at time of completion",
                    "offer_alternative": "partial_credit",
                    "dry_run": False,
                }
            )
        },
        refusals=(NOT_PENDING,),
    ),
    "refunds.retry": Operation(
        answers={
            200: success(
                {
                    **APPROVED,
                    "refund_processed": False,
                    "transaction_id": None,
                    "job_id": JOB_ID,
                    "processing": {"state": "queued", "message": "The gateway is about to be asked."},
                }
            )
        },
        refusals=(
            Refusal(409, "NOT_FAILED", "Only a refund that the gateway declined can be tried again.", {"current_status": "approved"}),
            NOT_REFUNDABLE,
        ),
    ),
    "payments.refund_payment": Operation(
        request={"amount_cents": 500000, "reason": "Booked twice by our mistake", "notify_user": True},
        answers={200: success(APPROVED), 202: success(WAITING)},
        refusals=(NOT_REFUNDABLE,),
    ),
}
