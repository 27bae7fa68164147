"""Counting what this process answers, and writing it down every few seconds, beside the requests.

gunicorn.conf.py begins and ends the writing in each of its workers. Where nobody does (another server, a test), whoever asks after the
figures has what was counted so far written first.
"""

import logging
import time
from threading import Event, Lock, Thread

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from domain.db import make_brief_engine
from domain.patience import patience
from domain.traffic import writing
from domain.traffic.recording import Recorder

log = logging.getLogger(__name__)

WRITE_SECONDS = 3.0
BEAT_SECONDS = 9.0
"""How often a process that answers nothing says that it lives."""
STATEMENT_SECONDS = 5
LAST_SECONDS = 5.0
WAIT_SECONDS = 0.3
UNCOUNTED = {"health.healthz", "health.readyz", "health.metrics", "portal.assets.static"}
"""Probes and files would drown the requests that somebody waits for."""


def register(app: Flask) -> None:
    app.extensions["traffic"] = Writer(app.config["PORTAL"].database_url)
    app.after_request(count)


def count(response: Response) -> Response:
    if request.endpoint not in UNCOUNTED:
        recorder: Recorder = current_app.extensions["traffic"].recorder
        door = "api" if request.path.startswith("/api/") else "portal"
        recorder.count(door, response.status_code, time.perf_counter() - g.get("started", time.perf_counter()))
    return response


def of(app: Flask) -> "Writer":
    found: Writer = app.extensions["traffic"]
    return found


class Writer:
    def __init__(self, database_url: str):
        self.recorder = Recorder()
        self.engine = make_brief_engine(database_url, STATEMENT_SECONDS)
        self.lock = Lock()
        self.stopping = Event()
        self.thread: Thread | None = None
        self.written_at = 0.0
        self.away = False

    def begin(self) -> None:
        """Write from now on, as the process that this is."""
        self.recorder.renew()
        self.lock, self.stopping = Lock(), Event()
        self.thread = Thread(target=self.run, name="traffic", daemon=True)
        self.thread.start()

    def run(self) -> None:
        self.write()
        while not self.stopping.wait(WRITE_SECONDS):
            if self.recorder.has_counts or time.monotonic() - self.written_at > BEAT_SECONDS:
                self.write()

    def end(self) -> None:
        """Write what is left, and sign off; a database that is away keeps nobody."""
        if self.thread is None:
            return
        self.stopping.set()
        last = Thread(target=self.write_the_last, name="traffic-end", daemon=True)
        last.start()
        last.join(LAST_SECONDS)

    def write_where_nobody_does(self) -> None:
        if self.thread is None and self.recorder.has_counts and not self.lock.locked():
            now_and_then = Thread(target=self.write, name="traffic", daemon=True)
            now_and_then.start()
            now_and_then.join(WAIT_SECONDS)

    def write_the_last(self) -> None:
        if self.write():
            try:
                with Session(self.engine) as session, session.begin():
                    writing.leave(session, self.recorder.process_id)
            except SQLAlchemyError as error:
                log.warning("the process could not sign off (%s); it is forgotten in time", type(error).__name__)

    def write(self) -> bool:
        """Write one batch; one that fails is kept, and tried again under its number."""
        with self.lock:
            batch = self.recorder.take()
            try:
                with patience(STATEMENT_SECONDS), Session(self.engine) as session, session.begin():
                    writing.write(session, self.recorder.process_id, batch)
            except SQLAlchemyError as error:
                if not self.away:
                    log.warning("the counts of requests are kept until the database is back (%s)", type(error).__name__)
                self.away = True
                return False
            self.recorder.settle(batch)
            self.written_at, self.away = time.monotonic(), False
            return True
