"""Background jobs."""

from typing import Any

from api.operations.parts import ADMIN_ID, JOB_ID, Operation, success
from api.refusals import Refusal, forbidden

EXPORT_ID = "550e8400-e29b-41d4-a716-446655440000"
EXPORT: dict[str, Any] = {
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

OPERATIONS = {
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
}
