"""How long somebody waits for a PostgreSQL that says nothing at all.

Its own timeouts end what takes too long, but a server that is frozen, or gone without a word, keeps no time: whoever waits for it waits
for as long as it stays so, and soon everybody does. Inside `patience(seconds)` that cannot happen:

    a statement waits for a second -> somebody knocks -> answered: it is only slow, and goes on
                                                      -> silence for two: every statement that waits is cut, the door is shut
    the door is shut -> whoever wants a connection is refused at once; a thread of the door's own knocks until it opens

A statement is cut in any case once its own patience is over. To whoever waited, both look as if the server had died.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

import psycopg2
from psycopg2.extensions import connection as PlainConnection
from psycopg2.extensions import cursor as PlainCursor
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
SUSPECT_SECONDS = 1.0
SILENT_SECONDS = 2.0
KNOCK_EVERY_SECONDS = 0.25
NOBODY_ASKS_SECONDS = 30.0
PING_SECONDS = 5.0

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float | None) -> Iterator[None]:
    """Wait no longer than this for the answer to any statement; None: as long as the server's own timeouts let it."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


class Door:
    """The way to one server, for every engine of this process that goes there."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.shut = False
        self.asked_at = 0.0
        self.knocked_at = 0.0
        self.knocking = False
        self.way: tuple[tuple[Any, ...], dict[str, Any]] = (), {}

    def connect(self, *arguments: Any, **settings: Any) -> Any:
        self.asked_at, self.way = time.monotonic(), (arguments, settings)
        if self.shut:
            raise psycopg2.OperationalError("the database did not answer a moment ago; it is asked again until it does")
        try:
            connection = psycopg2.connect(*arguments, connection_factory=Connection, **settings)
        except psycopg2.OperationalError:
            if time.monotonic() - self.asked_at > SUSPECT_SECONDS:
                self.close()
            raise
        connection.door = self
        return connection

    def suspect(self) -> None:
        """A statement has waited for long: knock, unless that was done just now. Silence is for `is_silent` to find."""
        with self.lock:
            if self.shut or self.knocking or time.monotonic() - self.knocked_at < SUSPECT_SECONDS:
                return
            self.knocking, self.knocked_at = True, time.monotonic()
        Thread(target=self.knock_once, name="knock", daemon=True).start()

    def knock_once(self) -> None:
        try:
            self.knock()
        except psycopg2.Error:
            if time.monotonic() - self.knocked_at > SUSPECT_SECONDS:
                self.close()
        finally:
            self.knocking = False

    @property
    def is_silent(self) -> bool:
        return self.knocking and not self.shut and time.monotonic() - self.knocked_at > SILENT_SECONDS

    def close(self) -> None:
        with self.lock:
            if self.shut:
                return
            self.shut = True
        log.warning("PostgreSQL does not answer: nobody waits for it until it does")
        WATCH.cut_all(self)
        Thread(target=self.knock_until_it_opens, name="knock", daemon=True).start()

    def knock_until_it_opens(self) -> None:
        """Or until nobody wants in any more: then whoever comes next finds out. A refusal is an answer too, which each may have himself."""
        while self.shut:
            began = time.monotonic()
            try:
                self.knock()
                log.warning("PostgreSQL answers again")
                self.shut = False
            except psycopg2.Error:
                quick = time.monotonic() - began < SUSPECT_SECONDS
                if quick or time.monotonic() - self.asked_at > NOBODY_ASKS_SECONDS:
                    self.shut = False
            if self.shut:
                time.sleep(KNOCK_EVERY_SECONDS)

    def knock(self) -> None:
        arguments, settings = self.way
        connection = psycopg2.connect(*arguments, connection_factory=Connection, **{**settings, "connect_timeout": round(SILENT_SECONDS)})
        try:
            with patience(SILENT_SECONDS), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        finally:
            connection.close()


@dataclass(frozen=True)
class Waiting:
    since: float
    until: float
    door: Door | None


class Watch:
    """Looks several times a second at who waits, by the numbers of the connections' sockets."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.waiting: dict[int, Waiting] = {}
        self.looking_in: int | None = None

    def begin(self, number: int, seconds: float, door: Door | None) -> None:
        moment = time.monotonic()
        with self.lock:
            self.waiting[number] = Waiting(moment, moment + seconds, door)
            if self.looking_in != os.getpid():  # a thread does not live on in a fork
                self.looking_in = os.getpid()
                Thread(target=self.look, name="patience", daemon=True).start()

    def end(self, number: int) -> None:
        with self.lock:
            self.waiting.pop(number, None)

    def look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            moment = time.monotonic()
            with self.lock:
                late = [number for number, one in self.waiting.items() if one.until < moment]
                suspected = {one.door for one in self.waiting.values() if one.door and one.since < moment - SUSPECT_SECONDS}
                self.cut(late)
            for door in suspected:
                door.close() if door.is_silent else door.suspect()

    def cut_all(self, door: Door) -> None:
        with self.lock:
            self.cut([number for number, one in self.waiting.items() if one.door is door])

    def cut(self, numbers: list[int]) -> None:
        """Under the lock, which keeps a number from being another connection's by now."""
        for number in numbers:
            del self.waiting[number]
            log.warning("PostgreSQL has not answered in time: a connection is cut")
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as other_end:
                other_end.shutdown(socket.SHUT_RDWR)


WATCH = Watch()
DOORS: dict[str, Door] = {}


class Connection(PlainConnection):  # type: ignore[misc]
    cursor_factory: Any
    door: Door | None = None

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
    WATCH.begin(number, seconds, connection.door)
    try:
        yield
    finally:
        WATCH.end(number)


def be_patient_with(engine: Engine) -> None:
    """Prepare a PostgreSQL engine: its connections can be cut, and are asked for a sign of life before they are used."""
    door = DOORS.setdefault(engine.url.render_as_string(hide_password=False), Door())

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, settings: Any) -> Any:
        return door.connect(*arguments, **settings)

    @event.listens_for(engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        record.info["fresh"] = True

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.pop("fresh", False):
            return
        if door.shut:
            raise InvalidatePoolError("nobody answers there")
        with patience(PING_SECONDS):
            try:
                engine.dialect.do_ping(connection)
            except psycopg2.Error as error:
                raise InvalidatePoolError("it is no longer there") from error
