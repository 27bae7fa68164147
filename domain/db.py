"""The one declarative base, the column habits every table shares, and the engine.

SQLite and PostgreSQL behave alike through this module: times are UTC and aware, JSON is JSONB on PostgreSQL, writers on
SQLite take their lock at the start of the transaction (see docs/adr/0003-two-databases-one-behaviour.md).
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    String,
    Text,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from domain import gate
from domain.patience import be_patient_with


def now() -> datetime:
    """The present moment, aware and in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a zone cannot be stored: use domain.db.now() or an aware datetime")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


JsonValue = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Timestamp = Annotated[datetime, mapped_column(UtcDateTime())]
Cents = Annotated[int, mapped_column(BigInteger())]
Currency = Annotated[str, mapped_column(String(3))]
LongText = Annotated[str, mapped_column(Text())]
JsonObject = Annotated[dict[str, Any], mapped_column(JsonValue)]
JsonList = Annotated[list[Any], mapped_column(JsonValue)]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        }
    )


class Identified(Base):
    """A table keyed by a UUID that the portal makes itself."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


_reading: ContextVar[bool] = ContextVar("reading", default=False)


@contextmanager
def read_only(active: bool = True) -> Iterator[None]:
    """Transactions begun inside take no write lock on SQLite; a write in one of them may meet a busy database."""
    token = _reading.set(active)
    try:
        yield
    finally:
        _reading.reset(token)


SQLITE_BUSY_SECONDS = 30
_patience: ContextVar[float] = ContextVar("patience", default=SQLITE_BUSY_SECONDS)


@contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Transactions begun inside wait only so long for whoever writes on SQLite: for what can be left undone."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def make_engine(url: str, **options: Any) -> Engine:
    """The engine for a DATABASE_URL in any of its usual spellings, with the settings the portal depends on."""
    engine = create_engine(driver_url(url), **{**engine_options(url), **options})
    prepare(engine)
    return engine


def make_brief_engine(url: str, seconds: int) -> Engine:
    """An engine for looks and small writes beside the others: each connection is made for one use, and no statement may take longer.

    Whatever became of a pool's connections says nothing about how the database is now.
    """
    options = engine_options(url)
    options["poolclass"] = NullPool
    if "pool_size" in options:
        for name in ("pool_size", "max_overflow", "pool_timeout"):
            del options[name]
        waits = f"{POSTGRESQL_SETTINGS} -c statement_timeout={seconds * 1000}"
        options["connect_args"] = {**options["connect_args"], "connect_timeout": seconds, "options": waits}
    engine = create_engine(driver_url(url), **options)
    prepare(engine)
    return engine


def engine_options(url: str) -> dict[str, Any]:
    """What `create_engine` is told beside the URL; `prepare` does the rest."""
    # Errors end up in logs, where no customer's data belongs.
    always = {"json_serializer": dump_json, "hide_parameters": True}
    if not driver_url(url).startswith("postgresql"):
        return {**always, "connect_args": {"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False}}
    return {
        **always,
        "pool_size": 10,
        "max_overflow": 10,
        "pool_timeout": 5,
        "connect_args": {
            "connect_timeout": 3,
            "tcp_user_timeout": 15_000,  # a server that vanished without a word; milliseconds
            "options": POSTGRESQL_SETTINGS,
        },
    }


SQLITE_GATE_SECONDS = 5.0
"""How long a writer waits while the database's contents are replaced."""
SQLITE_FIRST_PAUSE, SQLITE_LONGEST_PAUSE = 0.0003, 0.01  # seconds
POSTGRESQL_SETTINGS = "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"


def driver_url(url: str) -> str:
    """SQLAlchemy 2.1 takes psycopg 3 for a bare postgresql://; the portal is built on psycopg2."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)


def address_of(file: Path, options: str) -> str:
    """Of a SQLite file, for `uri=True`, whatever signs are in its name. https://www.sqlite.org/uri.html"""
    return f"{file.absolute().as_uri()}?{options}"


def dump_json(value: Any) -> str:
    """JSON as the columns keep it: text as it is, no NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def prepare(engine: Engine) -> None:
    """Give a SQLite engine write-ahead logging, full durability and real transactions; PostgreSQL needs but patience."""
    if engine.dialect.name != "sqlite":
        be_patient_with(engine)
        return

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # pysqlite must not begin transactions on its own: see begin() below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that reads and then writes fails at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout.
        if _reading.get():
            connection.exec_driver_sql("BEGIN")
        else:
            begin_writing(connection)


class GateShut(Exception):
    """The gate stayed shut for longer than a writer waits."""


def begin_writing(connection: Connection) -> None:
    """BEGIN IMMEDIATE, asked for again every few milliseconds while another one writes.

    SQLite's own waiting lengthens its pauses up to 100 ms, so among several busy writers somebody waits for seconds.
    """
    driver: Any = connection.connection.driver_connection
    database = connection.engine.url.database or ""
    began = time.monotonic()
    deadline = began + _patience.get()
    pause = SQLITE_FIRST_PAUSE
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            if gate.is_shut(database):
                if time.monotonic() > min(deadline, began + SQLITE_GATE_SECONDS):
                    raise OperationalError("BEGIN IMMEDIATE", None, GateShut("the database is being replaced by a restore"))
            else:
                try:
                    driver.execute("BEGIN IMMEDIATE")
                    if not gate.is_shut(database):
                        return
                    driver.execute("ROLLBACK")
                    continue
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        break
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.3, SQLITE_LONGEST_PAUSE)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # once more, for an error of SQLAlchemy's own kind
    finally:
        driver.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
