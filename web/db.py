"""The request's session, on an engine with the portal's own settings.

Requests that only read run under `read_only()`, so that on SQLite they never queue behind a writer. Whatever writes during such a
request (the audit of a refusal, a session's last sign of life) does it inside `writing()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from domain.db import driver_url, engine_options, prepare, read_only
from domain.patience import patience

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PATIENCE_SECONDS = 12.0
"""How long a request waits for one statement of a server that says nothing; longer than it may wait for a lock."""

db = SQLAlchemy(session_options={"expire_on_commit": False}, add_models_to_shell=False)


def register(app: Flask) -> None:
    url = app.config["PORTAL"].database_url
    app.config.update(SQLALCHEMY_DATABASE_URI=driver_url(url), SQLALCHEMY_ENGINE_OPTIONS=engine_options(url))
    app.config["PORTAL"].data_dir.mkdir(parents=True, exist_ok=True)
    db.init_app(app)
    with app.app_context():
        prepare(db.engine)
    app.teardown_appcontext(end_what_was_read)
    app.wsgi_app = read_only_when_safe(app.wsgi_app)  # type: ignore[method-assign,assignment]


def hold_open(app: Flask) -> None:
    """On SQLite, have this process keep a connection from now on. Whoever closes the last one ends the write-ahead log, which is work each
    time; and an archiver that starts a moment later could not go on from what it never saw."""
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            with suppress(SQLAlchemyError):
                db.engine.connect().close()  # which leaves it in the pool


def end_what_was_read(_error: BaseException | None) -> None:
    """Before the session is closed: the answer is made by now, and stays what it is where the database went away since."""
    try:
        db.session.rollback()
    except SQLAlchemyError:
        db.session.registry.clear()  # closing it would fail in the same way


def read_only_when_safe(handle: WSGIApplication) -> WSGIApplication:
    def handle_request(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with read_only(environ["REQUEST_METHOD"] in SAFE_METHODS), patience(PATIENCE_SECONDS):
            return handle(environ, start_response)

    return handle_request


@contextmanager
def writing() -> Iterator[Session]:
    """A transaction that may write, whatever the request: what came before it is rolled back, and it commits at the end."""
    db.session.rollback()
    with read_only(False):
        try:
            yield db.session()
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise
