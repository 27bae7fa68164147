"""Each request's id, the address it came from, and how large it may be."""

import ipaddress
import re
from uuid import uuid4

from flask import Flask, Response, current_app, g, has_request_context, request
from werkzeug.exceptions import LengthRequired, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register(app: Flask) -> None:
    proxies = app.config["PORTAL"].trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, MAX_FORM_PARTS=200)
    app.before_request(refuse_large_bodies)
    app.after_request(name_the_request)


def request_id() -> str | None:
    """The id in the answer, the logs and the audit; a trusted proxy may have given it, a stranger may not."""
    if not has_request_context():
        return None
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "") if trusts_proxies() else ""
        g.request_id = given if GIVEN_ID.fullmatch(given) else uuid4().hex
    return str(g.request_id)


def client_address() -> str | None:
    """Where the caller is, as far as it can be believed."""
    try:
        return str(ipaddress.ip_address(request.remote_addr or ""))
    except ValueError:
        return None


def user_agent() -> str | None:
    return request.user_agent.string[:500] or None


def trusts_proxies() -> bool:
    return bool(current_app.config["PORTAL"].trusted_proxies)


def name_the_request(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    return response


LARGEST_BODY = 1024 * 1024
READ_AND_DROPPED = 16 * LARGEST_BODY


def refuse_large_bodies() -> None:
    """Refuse a body by its announced length. What was sent of it is read first, or the caller would see a broken connection."""
    if "Transfer-Encoding" in request.headers and request.content_length is None:
        raise LengthRequired
    length = request.content_length or 0
    if length > LARGEST_BODY:
        left = min(length, READ_AND_DROPPED)
        while left > 0 and (piece := request.environ["wsgi.input"].read(min(left, 65536))):
            left -= len(piece)
        raise RequestEntityTooLarge
