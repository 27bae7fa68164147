"""Every error as one Problem, made here once; each door shows it in its own way (`shown_by`)."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import sqlalchemy.exc
from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from domain.audit.recording import plain
from domain.errors import DomainError
from web.db import db

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    status: int
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Show = Callable[[Problem], ResponseReturnValue]


class InvalidInput(DomainError):
    """422: what was sent does not fit; `details` names each field."""

    status, code = 422, "VALIDATION_ERROR"

    def __init__(self, messages: Any):
        details = list(described(messages))
        super().__init__(f"{len(details)} fields need correction." if len(details) > 1 else "A field needs correction.", details=details)


class Unavailable(DomainError):
    status, code = 503, "UNAVAILABLE"
    retry_after = 2


def register(app: Flask) -> None:
    app.extensions["problem_pages"] = []
    app.register_error_handler(Exception, handle)


def shown_by(app: Flask, prefix: str, show: Show) -> None:
    """Have the errors of every path that begins so shown by this door; the longest prefix wins."""
    pages = app.extensions["problem_pages"]
    pages.append((prefix, show))
    pages.sort(key=lambda page: -len(page[0]))


def handle(error: Exception) -> ResponseReturnValue:
    if isinstance(error, RequestRedirect):
        return error
    if isinstance(error, HTTPException) and (error.response is not None or (error.code or 500) < 400):
        return error
    problem = problem_of(error)
    forget_what_was_begun()
    return show(problem)


def forget_what_was_begun() -> None:
    try:
        db.session.rollback()
    except sqlalchemy.exc.SQLAlchemyError:  # the connection is gone, and with it the transaction
        db.session.remove()


def show(problem: Problem) -> Response:
    for prefix, page in current_app.extensions["problem_pages"]:
        if request.path.startswith(prefix):
            try:
                return current_app.make_response(page(problem))
            except Exception:
                log.exception("the page that shows an error broke itself")
    return Response(f"{problem.message}\n", problem.status, problem.headers, mimetype="text/plain")


def problem_of(error: Exception) -> Problem:
    if isinstance(error, ValidationError):
        error = InvalidInput(error.messages)
    if isinstance(error, AWAY):
        log_absence(error)
        error = Unavailable("The portal cannot reach its data right now, and nothing was done. Try again in a moment.")
    if isinstance(error, DomainError):
        return Problem(error.status, error.code, error.message, plain(error.details), headers_of(error))
    if isinstance(error, HTTPException):
        return http_problem(error)
    log.error("unhandled error", exc_info=error)
    return Problem(500, "INTERNAL_ERROR", "Something went wrong on our side. If it stays so, tell us the request id.")


AWAY = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,  # every connection of the pool is busy
    sqlalchemy.exc.IntegrityError,  # somebody else came first, in a way no lock of ours foresaw: nothing was done
)


def log_absence(error: sqlalchemy.exc.SQLAlchemyError) -> None:
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        log.error("a rule of the database was about to be broken", exc_info=error)
    else:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        log.warning("the database is away: %s", reason[:300])


def headers_of(error: DomainError) -> dict[str, str]:
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="admin"'
    if retry_after := getattr(error, "retry_after", None):
        headers["Retry-After"] = str(retry_after)
    return headers


def http_problem(error: HTTPException) -> Problem:
    status = error.code or 500
    code, message = HTTP.get(status, (HTTPStatus(status).name, HTTPStatus(status).phrase))
    headers = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")}
    return Problem(status, code, message, {}, headers)


HTTP = {
    400: ("BAD_REQUEST", "This request cannot be read: check its form and its headers."),
    401: ("UNAUTHENTICATED", "Sign in first."),
    403: ("FORBIDDEN", "You may not do this."),
    404: ("NOT_FOUND", "There is nothing at this address: check its path and its ids."),
    405: ("METHOD_NOT_ALLOWED", "This address does not take this method; the Allow header says which it takes."),
    411: ("LENGTH_REQUIRED", "Send a Content-Length: bodies in chunks are not taken."),
    413: ("PAYLOAD_TOO_LARGE", "The body is larger than 1 MiB: send less at a time."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send the body as JSON, with Content-Type: application/json."),
    500: ("INTERNAL_ERROR", "Something went wrong on our side. If it stays so, tell us the request id."),
}


def described(messages: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Marshmallow's nested messages as one line per field, its path dotted."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from described(inner, path if key == "_schema" else f"{path}.{key}" if path else str(key))
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield {"field": path[:200] or "body", "message": str(message)}
