"""PostgreSQL: the restored data are in a database beside the live one, and two renames in one transaction exchange them.

    every table locked against writers -> carry what came late -> rename, which waits until nobody is connected
    -> everybody is disconnected -> both renames commit

New connections wait for the rename and find the restored data; whoever was disconnected connects anew. Nothing that lasts is set on the
way there, so a crash leaves nothing to be taken back but a database to drop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errors, sql
from sqlalchemy import ColumnElement, Connection, Engine, NullPool, Table, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from adapters.restores.swap import Late, Reading, Swap
from domain.db import driver_url, dump_json
from domain.models import metadata
from domain.restores.carrying import Changes
from domain.restores.errors import SwapBlocked

TRIES = 5
LEAVE_SECONDS = 4.5  # PostgreSQL's rename waits five for the others
LOCK_WAIT = "5s"
MAINTENANCE = ("postgres", "template1")
STAGE, PREVIOUS = "_stage_", "_prev_"
LONGEST_NAME = 63
CUSHION = 1000
"""Transactions that a count of them may be off by; to look at a few rows too many costs nothing."""


class PostgresSwap(Swap):
    def __init__(self, database_url: str):
        self.url = make_url(driver_url(database_url))

    @property
    def name(self) -> str:
        return self.url.database or ""

    def named(self, what: str, restore_id: UUID) -> str:
        ending = f"{what}{restore_id.hex[:12]}"
        return f"{self.name[: LONGEST_NAME - len(ending)]}{ending}"

    def bytes_needed(self) -> int:
        """Both databases are on the server, whose disk cannot be asked from here."""
        return 0

    def make_stage(self, restore_id: UUID) -> str:
        self.drop_stage(restore_id)
        name = self.named(STAGE, restore_id)
        with self.administering() as cursor:
            cursor.execute("SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = %s", (self.name,))
            encoding, collate, ctype = cursor.fetchone()
            statement = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
            values = [sql.Literal(value) for value in (encoding, collate, ctype)]
            cursor.execute(sql.SQL(statement).format(sql.Identifier(name), *values))
        return self.url.set(database=name).render_as_string(hide_password=False)

    def drop_stage(self, restore_id: UUID) -> None:
        self.drop(self.named(STAGE, restore_id))

    def drop(self, name: str) -> None:
        with self.administering() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        engine = patient_engine(self.url)
        try:
            with engine.connect() as connection:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                mark = connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one()
                yield Reading(connection, mark)
        finally:
            engine.dispose()

    def swap(self, restore_id: UUID, url: str, mark: int, late: Late) -> int:
        staged = make_url(driver_url(url))
        self.copy_settings(staged.database or "")
        for _ in range(TRIES - 1):
            with suppress(SwapBlocked):
                return self.try_to_swap(restore_id, staged, mark, late)
        return self.try_to_swap(restore_id, staged, mark, late)

    def try_to_swap(self, restore_id: UUID, staged: URL, mark: int, late: Late) -> int:
        live_engine, staged_engine = patient_engine(self.url), patient_engine(staged)
        began = time.monotonic()
        try:
            with live_engine.connect() as live:
                hold_writers(live)
                with staged_engine.begin() as into:
                    late(live, into, YoungRows(live, mark))
                staged_engine.dispose()
                ours = live.execute(text("SELECT pg_backend_pid()")).scalar_one()
                renaming = Renaming(self, (self.name, self.named(PREVIOUS, restore_id)), (staged.database or "", self.name))
                renaming.start()
                try:
                    self.send_away(renaming, ours)
                finally:
                    live.close()  # the last that is connected; what held the writers goes with it
                    renaming.join()
        except OperationalError as error:
            if isinstance(error.orig, errors.LockNotAvailable):
                raise SwapBlocked("Somebody holds a table for longer than five seconds: find out who, and try again.") from None
            raise
        finally:
            live_engine.dispose()
            staged_engine.dispose()
        if renaming.failure is not None:
            if isinstance(renaming.failure, errors.ObjectInUse):
                raise SwapBlocked(f"Somebody stays connected to the database and cannot be sent away: {self.who_stays()}.")
            raise renaming.failure
        return round((time.monotonic() - began) * 1000)

    def send_away(self, renaming: Renaming, ours: int) -> None:
        """Once the rename keeps new ones out, end everybody's connection but ours."""
        deadline = time.monotonic() + LEAVE_SECONDS
        with self.administering() as cursor:
            while time.monotonic() < deadline and renaming.is_alive() and not renaming.holds_the_name(cursor):
                time.sleep(0.005)
            while time.monotonic() < deadline and renaming.is_alive():
                cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> %s", (self.name, ours))
                others = [pid for (pid,) in cursor.fetchall()]
                if not others:
                    return
                for pid in others:
                    with suppress(errors.InsufficientPrivilege):
                        cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
                time.sleep(0.01)

    def who_stays(self) -> str:
        with self.administering() as cursor:
            cursor.execute("SELECT pid, usename, application_name FROM pg_stat_activity WHERE datname = %s", (self.name,))
            return (
                ", ".join(f"pid {pid} ({user} {program})".replace(" )", ")") for pid, user, program in cursor.fetchall()) or "nobody by now"
            )

    def copy_settings(self, staged: str) -> None:
        """Settings and grants belong to a database and not to its name."""
        with self.administering() as cursor:
            question = (
                "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
                " WHERE d.datname = %s AND s.setrole = 0"
            )
            cursor.execute(question, (self.name,))
            for setting, value in [line.split("=", 1) for (line,) in cursor.fetchall()]:
                statement = sql.SQL("ALTER DATABASE {} SET {} TO {}")
                cursor.execute(statement.format(sql.Identifier(staged), sql.Identifier(setting), sql.Literal(value)))
            granted = (
                "SELECT coalesce(r.rolname, 'public'), g.privilege_type FROM pg_database d, aclexplode(d.datacl) g"
                " LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE d.datname = %s AND d.datacl IS NOT NULL"
            )
            cursor.execute(granted, (self.name,))
            rights = cursor.fetchall()
            if rights:
                cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(staged)))
            for role, right in rights:
                whom = sql.SQL("PUBLIC") if role == "public" else sql.Identifier(role)
                with suppress(errors.InsufficientPrivilege):
                    cursor.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), sql.Identifier(staged), whom))

    def previous_url(self, restore_id: UUID) -> str | None:
        name = self.named(PREVIOUS, restore_id)
        with self.administering() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            return self.url.set(database=name).render_as_string(hide_password=False) if cursor.fetchone() else None

    def drop_previous(self, restore_id: UUID) -> None:
        self.drop(self.named(PREVIOUS, restore_id))

    @contextmanager
    def administering(self) -> Iterator[Any]:
        """A cursor that commits each statement, in a database that nobody renames."""
        with closing(self.connect_aside()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def connect_aside(self) -> Any:
        for place, name in enumerate(MAINTENANCE):
            url = self.url.set(database=name, drivername="postgresql")
            try:
                return psycopg2.connect(url.render_as_string(hide_password=False), connect_timeout=5)
            except psycopg2.OperationalError:
                if place == len(MAINTENANCE) - 1:
                    raise
        raise AssertionError


class Renaming(Thread):
    """Both renames, in one transaction of a thread of its own, since the first waits for everybody to leave."""

    def __init__(self, swap: PostgresSwap, *names: tuple[str, str]):
        super().__init__(name="renaming", daemon=True)
        self.names = names
        self.connection = swap.connect_aside()
        self.pid = self.connection.info.backend_pid
        self.failure: psycopg2.Error | None = None

    def run(self) -> None:
        try:
            with self.connection, self.connection.cursor() as cursor:
                for before, after in self.names:
                    cursor.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))
        except psycopg2.Error as error:
            self.failure = error
        finally:
            self.connection.close()

    def holds_the_name(self, cursor: Any) -> bool:
        question = (
            "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.objid WHERE l.pid = %s AND l.granted"
            " AND l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND d.datname = %s AND l.mode = 'AccessExclusiveLock'"
        )
        cursor.execute(question, (self.pid, self.names[0][0]))
        return cursor.fetchone() is not None


class YoungRows(Changes):
    """Rows that a transaction wrote which had not ended when the data were read first."""

    def __init__(self, live: Connection, mark: int):
        latest = live.execute(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")).scalar_one()
        self.age = latest - mark + CUSHION

    def since(self, table: Table) -> ColumnElement[bool] | None:
        return text(f'age("{table.name}".xmin) <= {self.age}')  # type: ignore[return-value]


def hold_writers(live: Connection) -> None:
    """Until this transaction ends, everybody may read and nobody write."""
    live.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
    tables = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
    live.execute(text(f"LOCK TABLE {tables} IN EXCLUSIVE MODE"))


def patient_engine(url: URL) -> Engine:
    """For few statements that may take long."""
    settings = {"connect_args": {"connect_timeout": 5, "options": "-c timezone=UTC"}, "poolclass": NullPool}
    return create_engine(url, json_serializer=dump_json, hide_parameters=True, **settings)
