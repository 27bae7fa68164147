"""What the OpenAPI document says of each operation beyond its code: a worked example, and what in particular it may refuse."""

from dataclasses import dataclass, field
from typing import Any

from api.refusals import EXAMPLE_REQUEST_ID, WITH_MFA, Refusal, forbidden


@dataclass(frozen=True)
class Operation:
    """`request` is an example of the body, `answers` one for each status of success."""

    request: Any = None
    answers: dict[int, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()


NOTHING = Operation()


def success(data: Any, **meta: Any) -> dict[str, Any]:
    return {"success": True, "data": data, **({"meta": meta} if meta else {})}


REFUND_ID = "0d4a2f3e-8a53-4f0c-9f5e-1f5f5d6c7b8a"
ADMIN_ID = "5b0c7d1e-93f4-4c1a-8a55-3b7e0f6d2c41"
JOB_ID = "9c1f6a57-2d0e-4b7b-8f3a-6e5d4c3b2a10"
EXPORT_ID = "550e8400-e29b-41d4-a716-446655440000"
BACKUP = {
    "id": "7d1b2c3e-4f50-4a61-8b72-9c8d7e6f5a40",
    "backup_type": "full",
    "effective_type": "full",
    "engine": "sqlite",
    "description": "Monthly backup before major update",
    "note": None,
    "created_by": "Admin User",
    "job_id": JOB_ID,
    "parent_id": None,
    "snapshot_at": "2025-11-12T11:00:02Z",
    "started_at": "2025-11-12T11:00:01Z",
    "finished_at": "2025-11-12T11:00:19Z",
    "size_bytes": 475000000,
    "database_bytes": 988000000,
    "encrypted": True,
    "verified": {
        "at": "2025-11-12T11:00:19Z",
        "ok": True,
        "what": "put together again from what is stored, and equal to the snapshot byte by byte",
    },
    "schema_revision": "0012",
    "app_version": "0.1.0",
    "engine_version": "3.40.1",
}
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

TOKENS = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiI1YjBjN2QxZSJ9.c2lnbmF0dXJl",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "gq0W3m0mS0iYc1cJm5q6pO3b9cS7gqV9o2o9mB4N7eA",
    "mfa": {"enrolled": True, "verified": False},
}

EXPORT = {
    "id": EXPORT_ID,
    "type": "analytics_export",
    "status": "processing",
    "progress_percent": 65,
    "stage": "Writing row 65000 of 100000",
    "eta_seconds": 27,
    "created_at": "2025-11-12T10:00:00Z",
    "started_at": "2025-11-12T10:00:05Z",
    "finished_at": None,
    "cancelled_at": None,
    "creator": {"id": ADMIN_ID, "name": "Asha Rao"},
    "metadata": {"report_type": "bookings", "from": "2025-10-01", "to": "2025-10-31", "format": "csv"},
    "attempts": 1,
    "error": None,
    "result_url": None,
    "result_expired_at": None,
}

EXPORTED = {
    **EXPORT,
    "status": "succeeded",
    "progress_percent": 100,
    "stage": None,
    "eta_seconds": None,
    "finished_at": "2025-11-12T10:01:22Z",
    "result_url": f"/api/v1/admin/jobs/{EXPORT_ID}/result",
    "result": {"rows": 100000, "size_bytes": 18874368},
    "cancelled_by": None,
    "cancel_reason": None,
    "cancel_acknowledged_at": None,
    "events": [
        {"at": "2025-11-12T10:00:05Z", "event": "claimed", "message": "worker-1:4711:0f3a9c2b7d61"},
        {"at": "2025-11-12T10:01:22Z", "event": "succeeded", "message": None},
    ],
}

EXPORT_STARTED = {"job_id": EXPORT_ID, "status": "pending", "type": "analytics_export", "metadata": EXPORT["metadata"]}

ENTRY = {
    "id": "c1a7d9e2-4b3f-4c55-9d0e-7f8a6b5c4d3e",
    "sequence": 1842,
    "created_at": "2025-11-12T11:00:00.184211Z",
    "action": "refund.approved",
    "actor": {"id": ADMIN_ID, "name": "Asha Rao"},
    "object": {"type": "refund_requests", "id": REFUND_ID},
    "before": {"status": "pending"},
    "after": {"status": "approved"},
    "changes": [{"field": "status", "kind": "changed", "before": "pending", "after": "approved", "added": None, "removed": None}],
    "details": {"amount_cents": 500000, "reason": "Customer complaint verified. Service was not provided."},
    "ip": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "request_id": EXAMPLE_REQUEST_ID,
    "previous_hash": "9f2c0b6f5b1f4f0a8f5e6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f70819",
    "hash": "1b7d3e5f9a0c2b4d6f8091a3b5c7d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f80",
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
WRONG_CODE = Refusal(401, "INVALID_CREDENTIALS", "This code is not right, or was used before.")
TOO_MANY = Refusal(429, "RATE_LIMITED", "Too many tries. Try again in 5 minutes.", {"retry_after": 300})
BAD_SIGNATURE = Refusal(400, "INVALID_SIGNATURE", "The webhook's signature was made with none of our secrets")
UNREADABLE = Refusal(422, "VALIDATION_ERROR", "The webhook is signed but cannot be read: it is not a JSON object")
TOO_LARGE = Refusal(413, "PAYLOAD_TOO_LARGE", "The body is larger than 1 MiB: send less at a time.")
WEBHOOK = (BAD_SIGNATURE, UNREADABLE, TOO_LARGE)

ROLE = {
    "id": "regional_finance",
    "name": "Regional finance",
    "description": "Sees refunds and answers for those of the region",
    "permissions": ["refunds:list", "refunds:approve"],
    "is_system_role": False,
    "can_be_assigned": True,
    "user_count": 1,
    "created_at": "2025-11-12T11:00:00Z",
}
HOLDER = {"id": ADMIN_ID, "name": "Asha Rao", "email": "asha@example.com", "active": True, "mfa_enrolled": True}
ROLE_DETAIL = {**ROLE, "holder_count": 1, "admins": [HOLDER]}
ROLE_WISH = {name: ROLE[name] for name in ("name", "description", "permissions")}
SYSTEM_ROLE = Refusal(403, "SYSTEM_ROLE", "Finance Admin is one of the system's own roles, which stay as they are. Make a custom role.")
ROLE_EXISTS = Refusal(409, "ROLE_EXISTS", "There is a role called Regional finance already. Choose another name.", {"role_id": ROLE["id"]})
ROLE_IN_USE = Refusal(
    409,
    "ROLE_IN_USE",
    "2 admins hold this role, disabled ones included. Give them another one first.",
    {"holder_count": 2},
)
PERMISSION = {
    "id": "refunds:approve",
    "description": "Approve, reject and retry refunds",
    "roles": ["super_admin", "finance_admin"],
    "user_count": 8,
}

ADMIN = {
    "id": ADMIN_ID,
    "email": "asha@example.com",
    "name": "Asha Rao",
    "role": {"id": "finance_admin", "name": "Finance Admin"},
    "status": "active",
    "mfa_enrolled": True,
    "last_seen_at": "2025-11-12T10:58:00Z",
    "created_at": "2025-06-01T08:00:00Z",
    "disabled_at": None,
}
INVITATION = {
    "id": "7c2f9a61-5e0b-4a63-9d47-2f1e8b0c6a35",
    "email": "ravi@example.com",
    "name": "Ravi Menon",
    "role": {"id": "support_agent", "name": "Support Agent"},
    "expired": False,
    "expires_at": "2025-11-15T11:00:00Z",
    "created_at": "2025-11-12T11:00:00Z",
    "invited_by": "Asha Rao",
}
PAGE = {"page": 1, "page_size": 25, "total_pages": 1, "next_cursor": None, "ignored_parameters": []}
LAST_SUPER_ADMIN = Refusal(409, "LAST_SUPER_ADMIN", "This is the last active super admin. Make another one first.")
OWN_ACCOUNT = Refusal(409, "OWN_ACCOUNT", "You cannot disable yourself: ask another admin to do it.")
EMAIL_TAKEN = Refusal(409, "EMAIL_TAKEN", "There is an admin with the address ravi@example.com already.")
ALREADY_INVITED = Refusal(409, "ALREADY_INVITED", "ravi@example.com is invited already. Send that invitation again, or withdraw it first.")

WITHOUT_DATABASE = {
    "success": False,
    "data": {
        "status": "unhealthy",
        "services": {"database": {"status": "unhealthy", "error": "Connection timeout"}, "redis": {"status": "healthy"}},
    },
}

OPERATIONS = {
    "admins.index": Operation(answers={200: success([ADMIN], **PAGE, total_items=1, summary={"active": 1, "disabled": 0})}),
    "admins.show": Operation(answers={200: success(ADMIN)}),
    "admins.change": Operation(request={"role": "finance_admin"}, answers={200: success(ADMIN)}, refusals=(LAST_SUPER_ADMIN,)),
    "admins.disable": Operation(
        answers={200: success({**ADMIN, "status": "disabled", "disabled_at": "2025-11-12T11:00:00Z"})},
        refusals=(LAST_SUPER_ADMIN, OWN_ACCOUNT),
    ),
    "admins.enable": Operation(answers={200: success(ADMIN)}),
    "admins.reset_mfa": Operation(answers={200: success({**ADMIN, "mfa_enrolled": False})}),
    "invitations.waiting": Operation(answers={200: success([INVITATION], **PAGE, total_items=1, summary={})}),
    "invitations.invite": Operation(
        request={"email": "ravi@example.com", "name": "Ravi Menon", "role": "support_agent"},
        answers={201: success(INVITATION)},
        refusals=(EMAIL_TAKEN, ALREADY_INVITED),
    ),
    "invitations.resend": Operation(answers={200: success(INVITATION)}),
    "audit.index": Operation(
        answers={
            200: success(
                [ENTRY],
                page=1,
                page_size=25,
                total_items=1842,
                total_pages=74,
                summary={},
                next_cursor="MTg0Mg",
                ignored_parameters=[],
            )
        }
    ),
    "audit.show": Operation(answers={200: success(ENTRY)}),
    "audit.chain": Operation(
        answers={
            200: success(
                {
                    "head": {"sequence": 1842, "hash": ENTRY["hash"]},
                    "last_verification": {
                        "at": "2025-11-12T02:00:04.118233Z",
                        "by": "System",
                        "whole": True,
                        "entries": 1790,
                        "broken_at": None,
                        "what": None,
                    },
                }
            )
        }
    ),
    "audit.verify": Operation(
        answers={200: success({"job_id": JOB_ID, "status": "pending", "type": "audit_verify", "metadata": {}})},
        refusals=(Refusal(409, "VERIFICATION_UNDER_WAY", "The log is being verified already: look again in a moment."),),
    ),
    "auth.login": Operation(
        request={"email": "asha@example.com", "password": "correct horse battery"},
        answers={200: success(TOKENS)},
        refusals=(Refusal(401, "INVALID_CREDENTIALS", "The e-mail address or the password is not right."), TOO_MANY),
    ),
    "auth.second_step": Operation(
        request={"code": "123456"},
        answers={200: success({**TOKENS, "mfa": {"enrolled": True, "verified": True}})},
        refusals=(WRONG_CODE, Refusal(403, "MFA_REQUIRED", "No second factor is set up for your account."), TOO_MANY),
    ),
    "auth.refresh": Operation(
        request={"refresh_token": TOKENS["refresh_token"]},
        answers={200: success({**TOKENS, "mfa": {"enrolled": True, "verified": True}})},
        refusals=(Refusal(401, "UNAUTHENTICATED", "This refresh token is not good any more. Sign in again."), TOO_MANY),
    ),
    "auth.logout": Operation(request={"everywhere": True}, answers={200: success({"signed_out": True, "sessions_ended": 3})}),
    "auth.me": Operation(
        answers={
            200: success(
                {
                    "id": ADMIN_ID,
                    "email": "asha@example.com",
                    "name": "Asha Rao",
                    "role": {"id": "finance_admin", "name": "Finance Admin"},
                    "permissions": ["payments:refund", "refunds:approve", "refunds:list"],
                    "mfa": {"enrolled": True, "verified": True, "verified_at": "2025-11-12T10:58:00Z", "fresh": True},
                    "timezone": "Asia/Kolkata",
                    "locale": "en_IN",
                }
            )
        }
    ),
    "backups.backup": Operation(
        request={"backup_type": "full", "include_uploads": False, "description": "Monthly backup before major update"},
        answers={200: success({"job_id": JOB_ID, "status": "pending", "estimated_duration_seconds": 600})},
        refusals=(
            forbidden(["system:backup"]),
            *WITH_MFA,
            Refusal(409, "OPERATION_IN_PROGRESS", "A backup or restore runs already: wait until it has ended, or cancel it."),
            Refusal(422, "INCREMENTAL_NOT_SUPPORTED", "pg_dump makes full backups only: ask for backup_type full, or set up pgBackRest."),
            Refusal(503, "BACKUP_ENGINE_UNAVAILABLE", "pg_dump cannot be found: install PostgreSQL's client programs on this machine."),
            Refusal(
                507,
                "INSUFFICIENT_STORAGE",
                "A backup needs 3,240 MB free in BACKUP_DIR, and 812 MB are: free some, or remove old backups.",
                {"need": 3240000000, "free": 812000000},
            ),
        ),
    ),
    "backups.index": Operation(
        answers={
            200: success(
                [BACKUP],
                page=1,
                page_size=25,
                total_items=1,
                total_pages=1,
                summary={"verified": 1, "unreadable": 0, "stored_bytes": 475000000},
                next_cursor=None,
                ignored_parameters=[],
            )
        }
    ),
    "backups.show": Operation(
        answers={200: success({**BACKUP, "row_counts": {"refund_requests": 1234, "payments": 20456}, "audit_head": f"10234:{'3f' * 32}"})},
        refusals=(Refusal(409, "BACKUP_CORRUPT", "The backup's manifest cannot be read: it was cut or written over."),),
    ),
    "jobs.index": Operation(
        answers={
            200: success(
                [EXPORT],
                page=1,
                page_size=25,
                total_items=145,
                total_pages=6,
                summary={"pending": 5, "processing": 2, "succeeded": 120, "failed": 15, "cancelled": 3},
                next_cursor="MjAyNS0xMS0xMlQxMDowMDowMCswMDowMHw1NTBlODQwMA",
                ignored_parameters=[],
            )
        }
    ),
    "jobs.start": Operation(
        request={"type": "analytics_export", "report_type": "bookings", "from": "2025-10-01", "to": "2025-10-31", "format": "csv"},
        answers={200: success(EXPORT_STARTED)},
    ),
    "jobs.show": Operation(answers={200: success(EXPORTED)}),
    "jobs.cancel": Operation(
        request={"reason": "No longer needed"},
        answers={200: success({"id": EXPORT_ID, "status": "cancelled", "cancelled_at": "2025-11-12T10:30:00Z", "cancelled_by": ADMIN_ID})},
        refusals=(
            forbidden(["jobs:cancel"]),
            Refusal(409, "CANNOT_CANCEL", "Job has already completed", {"current_status": "succeeded"}),
        ),
    ),
    "jobs.delete": Operation(
        refusals=(
            forbidden(["jobs:delete"]),
            Refusal(
                400,
                "CANNOT_DELETE",
                "Can only delete completed (succeeded/failed/cancelled) jobs",
                {"current_status": "processing"},
            ),
        )
    ),
    "jobs.retry": Operation(
        answers={200: success({**EXPORT_STARTED, "metadata": {**EXPORT["metadata"], "retry_of": JOB_ID}})},
        refusals=(
            forbidden(["jobs:retry"]),
            Refusal(409, "CANNOT_RETRY", "Only a failed job can be run again.", {"current_status": "succeeded"}),
        ),
    ),
    "jobs.result": Operation(
        refusals=(
            forbidden(["analytics:view"]),
            Refusal(404, "NOT_FOUND", "This job has no result file."),
            Refusal(
                410,
                "RESULT_EXPIRED",
                "This job's file was kept for its time and then removed. Start the job anew to make another.",
                {"expired_at": "2025-12-12T10:01:22Z"},
            ),
        ),
    ),
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
    "system.health": Operation(
        answers={
            200: success(
                {
                    "status": "healthy",
                    "timestamp": "2025-11-12T11:00:00Z",
                    "version": "2.1.0",
                    "environment": "production",
                    "services": {
                        "database": {
                            "status": "healthy",
                            "error": None,
                            "provider": "postgresql",
                            "latency_ms": 15,
                            "connections": {"active": 25, "idle": 75, "unseen": 0, "max": 100},
                        },
                        "redis": {"status": "healthy", "error": None, "latency_ms": 3, "memory_used_mb": 245, "memory_max_mb": 1024},
                        "storage": {
                            "status": "healthy",
                            "error": None,
                            "provider": "s3",
                            "latency_ms": 41,
                            "used_gb": 450,
                            "quota_gb": None,
                            "files_gb": 450,
                            "files_count": 18211,
                            "files_counted_at": "2025-11-12T10:20:00Z",
                            "reasons": {"quota_gb": "A bucket has no limit of its own"},
                        },
                        "queue": {
                            "status": "healthy",
                            "error": None,
                            "pending_jobs": 15,
                            "due_jobs": 15,
                            "processing_jobs": 5,
                            "failed_jobs_24h": 2,
                            "oldest_wait_seconds": 4,
                            "workers_alive": 2,
                            "worker_threads": 8,
                        },
                    },
                    "metrics": {
                        "uptime_seconds": 2592000,
                        "request_count_24h": 145000,
                        "avg_response_time_ms": 125,
                        "p95_response_time_ms": 410,
                        "error_count_24h": 290,
                        "error_rate_percent": 0.2,
                        "web_processes": 4,
                    },
                }
            )
        }
    ),
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
    "permissions.catalogue": Operation(answers={200: success([PERMISSION], total_permissions=42, ignored_parameters=[])}),
    "permissions.who_can": Operation(answers={200: success({**PERMISSION, "admins": [HOLDER]})}),
    "roles.index": Operation(answers={200: success([ROLE], total_roles=6, total_permissions=42, ignored_parameters=[])}),
    "roles.create": Operation(request=ROLE_WISH, answers={201: success(ROLE_DETAIL)}, refusals=(ROLE_EXISTS,)),
    "roles.show": Operation(answers={200: success(ROLE_DETAIL)}),
    "roles.change": Operation(
        request={"permissions": ROLE["permissions"]},
        answers={200: success(ROLE_DETAIL)},
        refusals=(SYSTEM_ROLE, ROLE_EXISTS),
    ),
    "roles.delete": Operation(refusals=(SYSTEM_ROLE, ROLE_IN_USE)),
    "webhooks.stripe": Operation(answers={200: success({"event_id": "evt_1MqqbKLt4dXK03v5qaIbiNCC", "taken": True})}, refusals=WEBHOOK),
    "webhooks.razorpay": Operation(answers={200: success({"event_id": "MDvXlUZdLzxVgb", "taken": True})}, refusals=WEBHOOK),
}
