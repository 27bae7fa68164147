"""Restores."""

from api.operations.parts import JOB_ID, Operation, success
from api.refusals import WITH_MFA, Refusal, forbidden

BACKUP_ID, RESTORE_ID = "7d1b2c3e-4f50-4a61-8b72-9c8d7e6f5a40", "3c2b1a09-8f7e-4d6c-9b5a-4f3e2d1c0b9a"
RESTORE = {
    "id": RESTORE_ID,
    "kind": "restore",
    "backup_id": BACKUP_ID,
    "undone_id": None,
    "target_timestamp": None,
    "recovered_to": "2025-11-12T11:00:02Z",
    "requested_by": "Admin User",
    "started_at": "2025-11-12T15:00:00Z",
    "swapped_at": "2025-11-12T15:01:10Z",
    "frozen_ms": 390,
    "safety_backup_id": "0f1e2d3c-4b5a-4697-8899-aabbccddeeff",
    "refunds_carried": 12,
    "rows_left_out": 0,
    "kept_until": "2025-11-15T15:01:10Z",
    "rolled_back_at": None,
    "checked_at": "2025-11-12T15:01:31Z",
    "acknowledged_at": None,
    "acknowledged_by": None,
    "note": None,
}
COMPARED = {
    "refund_id": "0d4a2f3e-8a53-4f0c-9f5e-1f5f5d6c7b8a",
    "refund_number": "RF-2025-001234",
    "ruling": "agrees",
    "amount_cents": 500000,
    "currency": "INR",
    "gateway": "razorpay",
    "transaction_id": "rfnd_FgRAHdNOM4ZVbO",
    "message": None,
}
REPORT = {
    **{"looked_at": 57, "agrees": 12, "taken_over": 0, "nothing_found": 45, "differs": 0, "uncertain": 0, "refunds": [COMPARED]},
    **{"noted": 0, "noted_refunds": [], "unread": []},
}
WRONG_CODE = Refusal(
    422,
    "WRONG_CONFIRMATION_CODE",
    "The confirmation code is RESTORE-2025-11-12: the date is that of the moment to go back to, in UTC.",
)
IN_PROGRESS = Refusal(409, "OPERATION_IN_PROGRESS", "A backup or restore runs already: wait until it has ended, or cancel it.")
ASKED = success({"job_id": JOB_ID, "status": "pending", "warning": "This will replace current data with backup from 2025-11-12T00:00:00Z"})

OPERATIONS = {
    "restores.restore": Operation(
        request={
            "backup_id": BACKUP_ID,
            "confirmation_code": "RESTORE-2025-11-12",
            "target_timestamp": "2025-11-12T00:00:00Z",
            "include_uploads": True,
        },
        answers={200: ASKED},
        refusals=(
            forbidden(["system:restore"]),
            *WITH_MFA,
            Refusal(404, "NOT_FOUND", "There is no backup with this id."),
            IN_PROGRESS,
            Refusal(409, "BACKUP_CORRUPT", "The backup's manifest cannot be read: it was cut or written over."),
            Refusal(409, "BACKUP_KEY_MISMATCH", "The backup was made with another key than BACKUP_KEY_FILE holds."),
            Refusal(409, "PITR_GAP", "Nothing was kept of that time.", {"ranges": [], "nearest_backup": BACKUP_ID}),
            WRONG_CODE,
            Refusal(422, "TARGET_BEFORE_BACKUP", "That moment is before the backup: name an earlier one.", {"use_backup_id": BACKUP_ID}),
            Refusal(
                422,
                "PITR_OUT_OF_RANGE",
                "That moment is not within what can be reached.",
                {"earliest": "2025-11-05T02:00:00Z", "latest": "2025-11-12T10:59:59Z"},
            ),
            Refusal(422, "PITR_NOT_SUPPORTED", "Only what backups themselves hold can be reached here: leave out target_timestamp."),
            Refusal(422, "BACKUP_SCHEMA_NEWER", "The backup was made by version 2.0.0 of the portal: install that or a newer one."),
            Refusal(422, "ENGINE_MISMATCH", "This is a backup of sqlite, and the portal runs on postgresql."),
            Refusal(503, "BACKUP_ENGINE_UNAVAILABLE", "pg_restore cannot be found: install PostgreSQL's client programs on this machine."),
            Refusal(503, "BACKUP_DIR_UNUSABLE", "BACKUP_DIR (/backups) cannot be used: Read-only file system."),
            Refusal(507, "INSUFFICIENT_STORAGE", "A restore needs 3,240 MB free in BACKUP_DIR.", {"need": 3240000000, "free": 812000000}),
        ),
    ),
    "restores.index": Operation(
        answers={
            200: success(
                [RESTORE],
                page=1,
                page_size=25,
                total_items=1,
                total_pages=1,
                summary={"unacknowledged": 1},
                next_cursor=None,
                ignored_parameters=[],
            )
        }
    ),
    "restores.show": Operation(
        answers={
            200: success(
                {
                    **RESTORE,
                    "carried": {"admin_users": 5, "background_jobs": 310, "audit_entries": 42},
                    "left_out": [],
                    "uploads": None,
                    "report": REPORT,
                    "can_roll_back": True,
                    "checking_job_id": None,
                }
            )
        },
    ),
    "restores.check": Operation(answers={200: success({"job_id": JOB_ID, "status": "pending"})}, refusals=(IN_PROGRESS,)),
    "restores.acknowledge": Operation(
        request={"note": "The three old payments were looked up in the gateway's dashboard"},
        answers={200: success({**RESTORE, "acknowledged_at": "2025-11-12T15:20:00Z", "acknowledged_by": "Admin User"})},
        refusals=(
            *WITH_MFA,
            Refusal(409, "NOT_CHECKED", "The refunds are still being compared with the gateways: acknowledge the report once it is there."),
        ),
    ),
    "restores.rollback": Operation(
        request={"confirmation_code": "ROLLBACK-2025-11-12"},
        answers={200: ASKED},
        refusals=(
            *WITH_MFA,
            IN_PROGRESS,
            Refusal(409, "NOTHING_TO_ROLL_BACK", "The data that this restore replaced are not kept any more, or were put back already."),
            Refusal(422, "WRONG_CONFIRMATION_CODE", "The confirmation code is ROLLBACK-2025-11-12."),
        ),
    ),
}
