"""The audit log."""

from api.operations.parts import ADMIN_ID, JOB_ID, REFUND_ID, Operation, success
from api.refusals import EXAMPLE_REQUEST_ID, Refusal

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

OPERATIONS = {
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
}
