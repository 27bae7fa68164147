"""Each request's id and the address it came from."""

import ipaddress
import re
from uuid import uuid4

from flask import Flask, Response, current_app, g, has_request_context, request
from werkzeug.middleware.proxy_fix import ProxyFix

GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register(app: Flask) -> None:
    proxies = app.config["PORTAL"].trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.after_request(name_the_request)


def request_id() -> str | None:
    """The id in the answer, the logs and the audit; a trusted proxy may have given it, a stranger may not."""
    if not has_request_context():
        return None
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "") if trusts_proxies() else ""
        g.request_id = given if GIVEN_ID.fullmatch(given) else uuid4().hex
    return g.request_id


def client_address() -> str | None:
    """Where the caller is, as far as it can be believed."""
    try:
        return str(ipaddress.ip_address(request.remote_addr or ""))
    except ValueError:
        return None


def user_agent() -> str | None:
    return request.user_agent.string[:500] or None


def trusts_proxies() -> bool:
    return current_app.config["PORTAL"].trusted_proxies > 0


def name_the_request(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    return response
