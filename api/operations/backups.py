"""Backups."""

from api.operations.parts import JOB_ID, Operation, success
from api.refusals import WITH_MFA, Refusal, forbidden

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
    "uploads": {
        "kind": "copied",
        "count": 4012,
        "bytes": 218000000,
        "new_count": 12,
        "new_bytes": 640000,
        "stored_bytes": 187000,
        "vanished": 0,
        "torn": 0,
        "skipped": 0,
    },
    "encrypted": True,
    "verified": {
        "at": "2025-11-12T11:00:19Z",
        "ok": True,
        "what": "put together again from what is stored, and equal to the snapshot byte by byte",
    },
    "reachable_until": "2025-11-12T16:20:08Z",
    "schema_revision": "0012",
    "app_version": "0.1.0",
    "engine_version": "3.40.1",
}

OPERATIONS = {
    "backups.backup": Operation(
        request={"backup_type": "full", "include_uploads": True, "description": "Monthly backup before major update"},
        answers={200: success({"job_id": JOB_ID, "status": "pending", "estimated_duration_seconds": 600})},
        refusals=(
            forbidden(["system:backup"]),
            *WITH_MFA,
            Refusal(409, "OPERATION_IN_PROGRESS", "A backup or restore runs already: wait until it has ended, or cancel it."),
            Refusal(422, "INCREMENTAL_NOT_SUPPORTED", "pg_dump makes full backups only: ask for backup_type full, or set up pgBackRest."),
            Refusal(503, "BACKUP_ENGINE_UNAVAILABLE", "pg_dump cannot be found: install PostgreSQL's client programs on this machine."),
            Refusal(503, "BACKUP_DIR_UNUSABLE", "BACKUP_DIR (/backups) cannot be used: Read-only file system."),
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
                summary={
                    "verified": 1,
                    "unreadable": 0,
                    "stored_bytes": 475000000,
                    "newest_verified_at": BACKUP["snapshot_at"],
                    "coverage": [{"start": BACKUP["snapshot_at"], "end": BACKUP["reachable_until"]}],
                    "reasons": {},
                },
                next_cursor=None,
                ignored_parameters=[],
            )
        }
    ),
    "backups.show": Operation(
        answers={200: success({**BACKUP, "row_counts": {"refund_requests": 1234, "payments": 20456}, "audit_head": f"10234:{'3f' * 32}"})},
        refusals=(
            Refusal(409, "BACKUP_CORRUPT", "The backup's manifest cannot be read: it was cut or written over."),
            Refusal(409, "BACKUP_KEY_MISMATCH", "The backup was made with another key than BACKUP_KEY_FILE holds."),
        ),
    ),
    "backups.verify": Operation(
        answers={200: success({"job_id": JOB_ID, "status": "pending", "type": "backup_verify", "metadata": {"backup_id": BACKUP["id"]}})},
        refusals=(
            Refusal(409, "OPERATION_IN_PROGRESS", "A backup or restore runs already: wait until it has ended, or cancel it."),
            Refusal(409, "BACKUP_CORRUPT", "The backup's manifest cannot be read: it was cut or written over."),
            Refusal(409, "BACKUP_KEY_MISMATCH", "The backup was made with another key than BACKUP_KEY_FILE holds."),
        ),
    ),
}
