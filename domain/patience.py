"""How long somebody waits for PostgreSQL to say anything at all.

Its own timeouts end what takes too long, but a server that is frozen, or gone without a word, keeps no time: whoever waits for it waits
for as long as it stays so. Inside `patience(seconds)` a connection that has been silent for that long is cut, and what was asked of it
fails as if the server had died. A server that let a thread wait in vain for a new connection is then tried by one thread at a time;
the others are told at once.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock, Thread
from typing import Any

import psycopg2
from psycopg2.extensions import connection as PlainConnection
from psycopg2.extensions import cursor as PlainCursor
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

log = logging.getLogger(__name__)

PING_SECONDS = 2.0
SLOW_SECONDS = 1.0
REST_SECONDS = 0.5
LOOK_SECONDS = 0.2

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float | None) -> Iterator[None]:
    """Wait no longer than this for the answer to any statement; None: as long as the server's own timeouts let it."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


class Watch:
    """Looks several times a second for connections that somebody has waited on for too long."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.waiting: dict[int, float] = {}
        """When the patience of each connection's user ends, by the number of its socket."""
        self.looking_in: int | None = None

    def begin(self, socket_number: int, seconds: float) -> None:
        with self.lock:
            self.waiting[socket_number] = time.monotonic() + seconds
            if self.looking_in != os.getpid():  # a thread does not live on in a fork
                self.looking_in = os.getpid()
                Thread(target=self.look, name="patience", daemon=True).start()

    def end(self, socket_number: int) -> None:
        with self.lock:
            self.waiting.pop(socket_number, None)

    def look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            moment = time.monotonic()
            with self.lock:  # which keeps a number from being another connection's by now
                for number, ends in list(self.waiting.items()):
                    if ends < moment:
                        del self.waiting[number]
                        log.warning("PostgreSQL has not answered in time: the connection is cut")
                        cut(number)


def cut(number: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as other_end:
        other_end.shutdown(socket.SHUT_RDWR)


WATCH = Watch()


class Connection(PlainConnection):  # type: ignore[misc]
    cursor_factory: Any

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        self.cursor_factory = Cursor

    def commit(self) -> None:
        with answered(self):
            super().commit()

    def rollback(self) -> None:
        with answered(self):
            super().rollback()


class Cursor(PlainCursor):  # type: ignore[misc]
    def execute(self, *arguments: Any, **settings: Any) -> None:
        with answered(self.connection):
            super().execute(*arguments, **settings)

    def executemany(self, *arguments: Any, **settings: Any) -> None:
        with answered(self.connection):
            super().executemany(*arguments, **settings)


@contextmanager
def answered(connection: Any) -> Iterator[None]:
    seconds = _patience.get()
    if seconds is None or connection.closed:
        yield
        return
    number = connection.fileno()
    WATCH.begin(number, seconds)
    try:
        yield
    finally:
        WATCH.end(number)


class Door:
    """One server's door: who may try to come in while it does not open."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.shut_until = 0.0
        self.tried = False
        """Whether somebody is at it since it was found shut."""

    def connect(self, *arguments: Any, **settings: Any) -> Any:
        with self.lock:
            shut = self.shut_until > 0.0
            if shut and (self.tried or time.monotonic() < self.shut_until):
                raise psycopg2.OperationalError("the database did not answer a moment ago, and is tried again by and by")
            self.tried = shut
        began = time.monotonic()
        try:
            connection = psycopg2.connect(*arguments, **settings)
        except psycopg2.OperationalError:
            with self.lock:
                self.tried = False
                slow = time.monotonic() - began > SLOW_SECONDS
                self.shut_until = time.monotonic() + REST_SECONDS if slow else 0.0
            raise
        except BaseException:
            with self.lock:
                self.tried = False
            raise
        with self.lock:
            self.tried, self.shut_until = False, 0.0
        return connection


def be_patient_with(engine: Engine) -> None:
    """Prepare a PostgreSQL engine: its connections can be watched, and are asked for a sign of life before they are used."""
    door = Door()

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, settings: Any) -> Any:
        return door.connect(*arguments, connection_factory=Connection, **settings)

    @event.listens_for(engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        record.info["fresh"] = True

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.pop("fresh", False):
            return
        with patience(PING_SECONDS):
            try:
                engine.dialect.do_ping(connection)
            except psycopg2.Error as error:
                raise InvalidatePoolError("it is no longer there") from error
