"""One line on stderr for each request, and for whatever else is logged: JSON in production, plain text for people.

Names the route and not the URL: query strings, bodies, tokens and addresses of mail never get here.
"""

import json
import logging
import re
import sys
import time
import traceback
from datetime import UTC, datetime

from flask import Flask, Response, g, request

from config import Config
from web.requests import request_id

log = logging.getLogger("portal.requests")

FACTS = ("request_id", "method", "route", "status", "duration_ms", "admin_id")
DETAIL = re.compile(r"^DETAIL: .*$", re.MULTILINE)
CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), 127, *range(128, 160)]} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


def register(app: Flask) -> None:
    configure(app.config["PORTAL"])
    app.before_request(start_clock)
    app.after_request(log_request)


def configure(settings: Config) -> None:
    """Have everything that this process logs go to stderr, one line each."""
    handler = Stderr()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else PlainLines())
    handler.set_name("portal")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "portal"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for chatty in ("httpx", "httpcore", "alembic", "huey", "urllib3"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))


def start_clock() -> None:
    g.started = time.perf_counter()


def log_request(response: Response) -> Response:
    actor = g.get("actor")
    facts = {
        "request_id": request_id(),
        "method": request.method[:10],
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "duration_ms": round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
        "admin_id": str(actor.admin_id) if actor and actor.admin_id else None,
    }
    log.info("request", extra=facts)
    return response


class Stderr(logging.Handler):
    """Writes to what stderr is at that moment, each line in one piece."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  a line that cannot be written must not end the request it is about
            self.handleError(record)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **facts_of(record),
        }
        if record.exc_info:
            line["exception"] = told(record)
        return json.dumps(line, default=str)


class PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        facts = " ".join(f"{name}={value}" for name, value in facts_of(record).items() if value is not None)
        line = f"{at} {record.levelname.lower()} {record.name}: {record.getMessage()} {facts}".rstrip().translate(CONTROL)
        return f"{line}\n{told(record)}" if record.exc_info else line


def facts_of(record: logging.LogRecord) -> dict[str, object]:
    found = {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
    return found or {"request_id": request_id()}


def told(record: logging.LogRecord) -> str:
    """The traceback, without the values that PostgreSQL repeats from the row it refused."""
    assert record.exc_info
    return DETAIL.sub("DETAIL: left out", "".join(traceback.format_exception(*record.exc_info)).rstrip())
