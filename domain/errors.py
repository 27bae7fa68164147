"""Everything a command may refuse to do. Each door turns these into its own kind of answer, in one place."""

from __future__ import annotations


class DomainError(Exception):
    """A refusal: `code` for programs, `message` for people (it says what to write or do instead), `details` for both.

    `settled` refusals were decided after the row was locked: the same request would be refused again, so the answer is
    kept under its idempotency key.
    """

    status = 400
    code = "BAD_REQUEST"
    settled = False

    def __init__(self, message: str, **details: object):
        super().__init__(message)
        self.message = message
        self.details = details


class Unauthenticated(DomainError):
    status, code = 401, "UNAUTHENTICATED"


class Forbidden(DomainError):
    status, code = 403, "FORBIDDEN"


class MfaRequired(Forbidden):
    code = "MFA_REQUIRED"


class NotFound(DomainError):
    status, code = 404, "NOT_FOUND"


class Conflict(DomainError):
    status, code, settled = 409, "CONFLICT", True


class Invalid(DomainError):
    """Input that no state of the data could make right; `details` holds [{"field", "message"}]."""

    status, code = 422, "VALIDATION_ERROR"

    def __init__(self, message: str, *, field: str | None = None, **details: object):
        if field is not None:
            details["details"] = [{"field": field, "message": message}]
        super().__init__(message, **details)


class RateLimited(DomainError):
    """Too many tries; `retry_after` is in whole seconds."""

    status, code = 429, "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: int):
        super().__init__(message, retry_after=retry_after)
        self.retry_after = retry_after
