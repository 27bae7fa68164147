"""What an operation may refuse, as the OpenAPI document says it: one response per status, each code with an example."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

EXAMPLE_REQUEST_ID = "7d3f0c1b9a524e0f8b6a3d2c1e0f9a8b"


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def example(self) -> dict[str, Any]:
        return {
            "success": False,
            "error": {"code": self.code, "message": self.message, "request_id": EXAMPLE_REQUEST_ID, **self.details},
        }


ANYWHERE = (
    Refusal(429, "RATE_LIMITED", "That is more than 300 calls in 60 seconds. Wait 12 seconds.", {"retry_after": 12}),
    Refusal(503, "UNAVAILABLE", "The portal cannot reach its data right now, and nothing was done. Try again in a moment."),
)
SIGNED_IN = (
    Refusal(401, "UNAUTHENTICATED", "Sign in first: send Authorization: Bearer with an access token."),
    Refusal(401, "TOKEN_EXPIRED", "The access token has expired. Get another from /api/v1/admin/auth/refresh."),
)
WITH_MFA = (Refusal(403, "MFA_REQUIRED", "Confirm with your second factor: it must be at most 10 minutes old."),)
WITH_ID = (Refusal(404, "NOT_FOUND", "There is nothing with this id."),)
WITH_BODY = (
    Refusal(400, "MALFORMED_JSON", "The body is not JSON that we can read: check its syntax."),
    Refusal(413, "PAYLOAD_TOO_LARGE", "The body is larger than 1 MiB: send less at a time."),
    Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body as JSON, with Content-Type: application/json."),
    Refusal(
        422,
        "VALIDATION_ERROR",
        "A field needs correction.",
        {"details": [{"field": "reason", "message": "Write 3 to 2000 characters."}]},
    ),
)
WITH_QUERY = (
    Refusal(
        422,
        "VALIDATION_ERROR",
        "A field needs correction.",
        {"details": [{"field": "page_size", "message": "It must be 1 to 100."}]},
    ),
)
WITH_KEY = (
    Refusal(400, "IDEMPOTENCY_KEY_REQUIRED", "This call changes something: send an Idempotency-Key header (a UUID will do)."),
    Refusal(400, "IDEMPOTENCY_KEY_INVALID", "An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces."),
    Refusal(409, "IDEMPOTENCY_IN_FLIGHT", "The first call with this Idempotency-Key is still running. Try again in a second."),
    Refusal(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used with another body. Send a new key for a new request."),
)
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    409: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds; with IDEMPOTENCY_IN_FLIGHT."}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until the next call is taken."}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
}


def forbidden(permissions: Iterable[str]) -> Refusal:
    named = list(permissions)
    return Refusal(
        403,
        "FORBIDDEN",
        f"This needs the permission {' or '.join(named)}. Ask a super admin for a role that has it.",
        {"required_permission": named[0]},
    )


def responses(refusals: Iterable[Refusal]) -> dict[int, dict[str, Any]]:
    """OpenAPI's `responses` for these refusals."""
    by_status: dict[int, dict[str, Refusal]] = {}
    for refusal in refusals:
        by_status.setdefault(refusal.status, {}).setdefault(refusal.code, refusal)
    return {status: response(status, list(found.values())) for status, found in sorted(by_status.items())}


def response(status: int, refusals: list[Refusal]) -> dict[str, Any]:
    codes = ", ".join(f"`{refusal.code}`" for refusal in refusals)
    described: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {codes}",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorAnswer"},
                "examples": {refusal.code: {"value": refusal.example} for refusal in refusals},
            }
        },
    }
    if status in HEADERS:
        described["headers"] = HEADERS[status]
    return described
