"""Referrals."""

from api.operations.parts import REFUND_ID, Operation, success

REFERRAL = {
    "id": "4c0d9f5e-8a53-4f0c-9f5e-1f5f5d6c7b8a",
    "referrer": {
        "id": "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
        "name": "John Doe",
        "email": "john@example.com",
        "total_referrals": 12,
        "total_earned_cents": 400000,
        "total_paid_cents": 350000,
        "earned_by_currency": {"INR": 400000},
    },
    "referred_user": {
        "id": "7a8b9c0d-1e2f-4a3b-8c4d-5e6f7a8b9c0d",
        "name": "Jane Smith",
        "email": "jane@example.com",
        "signup_date": "2025-11-01T10:00:00Z",
        "first_booking_date": "2025-11-05T14:00:00Z",
    },
    "referral_code": "JOHN2025",
    "status": "completed",
    "reward_amount_cents": 50000,
    "currency": "INR",
    "credited_at": "2025-11-06T10:00:00Z",
    "payout_status": "paid",
    "created_at": "2025-11-01T10:00:00Z",
    "expires_at": "2025-12-01T10:00:00Z",
    "conditions_met": {"signup": True, "email_verified": True, "first_booking": True, "minimum_spend": True},
    "missing_conditions": [],
    "days_left": None,
    "risks": [{"code": "refunded", "reason": "What earned the reward was refunded after it: RF-2025-001234 (INR 5,000.00)."}],
}

OPERATIONS = {
    "referrals.index": Operation(
        answers={
            200: success(
                [REFERRAL],
                page=1,
                page_size=25,
                total_items=440,
                total_pages=18,
                summary={
                    "pending": 45,
                    "completed": 380,
                    "paid": 300,
                    "expired": 15,
                    "payouts": {"not_due": 0, "scheduled": 75, "paid": 300, "failed": 3, "reversed": 2},
                    "by_currency": {"INR": {"total_rewards_cents": 19000000, "total_paid_cents": 15000000}},
                    "total_rewards_cents": 19000000,
                    "total_paid_cents": 15000000,
                },
                next_cursor="MjAyNS0xMS0wMVQxMDowMDowMCswMDowMHw0YzBkOWY1ZQ",
                summary_age_seconds=42,
                ignored_parameters=[],
            )
        }
    ),
    "referrals.show": Operation(
        answers={
            200: success(
                {
                    **REFERRAL,
                    "bookings": [
                        {
                            "id": "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d",
                            "booking_number": "BK-2025-005432",
                            "status": "completed",
                            "created_at": "2025-11-05T14:00:00Z",
                            "counts": True,
                            "payments": [
                                {
                                    "id": "3f1c2b4a-5d6e-4f70-8a9b-0c1d2e3f4a5b",
                                    "amount_cents": 500000,
                                    "currency": "INR",
                                    "status": "captured",
                                    "paid_at": "2025-11-05T14:03:00Z",
                                }
                            ],
                            "refunds": [
                                {
                                    "id": REFUND_ID,
                                    "refund_number": "RF-2025-001234",
                                    "status": "processed",
                                    "requested_amount_cents": 500000,
                                    "approved_amount_cents": 500000,
                                    "currency": "INR",
                                }
                            ],
                        }
                    ],
                    "bookings_left_out": 0,
                    "spent_by_currency": {"INR": {"paid_cents": 500000, "refunded_cents": 500000}},
                }
            )
        }
    ),
}
