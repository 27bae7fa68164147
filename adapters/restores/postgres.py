"""PostgreSQL: the restored data are in a database beside the live one, and two renames in one transaction exchange them.

    first rename: it keeps new connections out, and waits until nobody is connected -> everybody else is disconnected
    -> alone with the live data: carry what came late -> leave, too -> the first rename is made
    -> alone with the staged data: enter the restore, and leave -> second rename -> both commit

New connections wait for the renames and find the restored data; whoever was disconnected connects anew. Nothing that lasts is set on the
way there, so a crash leaves nothing to be taken back but a database to drop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errors, sql
from sqlalchemy import Boolean, ColumnElement, Connection, Engine, NullPool, Table, Uuid, create_engine, event, literal_column, text
from sqlalchemy.engine import URL, make_url

from adapters import databases
from adapters.databases import send_away
from adapters.restores import rights
from adapters.restores.swap import Late, Reading, Swap, named
from domain.db import driver_url, dump_json
from domain.restores.carrying import Changes
from domain.restores.errors import SwapBlocked

log = logging.getLogger(__name__)

TRIES = 5
CAUGHT_UP_SECONDS = 1.0  # a rename waits five for the others to leave
MAINTENANCE = ("postgres", "template1")
STAGE, PREVIOUS = "_stage_", "_prev_"
READ_AT_ONCE = 5000


class PostgresSwap(Swap):
    def __init__(self, database_url: str):
        self.url = make_url(driver_url(database_url))

    @property
    def name(self) -> str:
        return self.url.database or ""

    def named(self, what: str, restore_id: UUID) -> str:
        return databases.named_for(self.name, f"{what}{restore_id.hex[:12]}")

    def bytes_needed(self) -> int:
        """Both databases are on the server, whose disk cannot be asked from here."""
        return 0

    def make_stage(self, restore_id: UUID) -> str:
        self.drop_stage(restore_id)
        name = self.named(STAGE, restore_id)
        with self.administering() as cursor:
            databases.create_like(cursor, self.name, name)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def stage_previous(self, restore_id: UUID, undone_id: UUID) -> str:
        self.drop_stage(restore_id)
        kept, name = self.named(PREVIOUS, undone_id), self.named(STAGE, restore_id)
        with self.administering() as cursor:
            send_away(cursor, kept)
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(kept)))
        return self.url.set(database=name).render_as_string(hide_password=False)

    def drop_stage(self, restore_id: UUID) -> None:
        self.drop(self.named(STAGE, restore_id))

    def drop(self, name: str) -> None:
        with self.administering() as cursor:
            databases.drop(cursor, name)

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

    @contextmanager
    def comparing(self, url: str, reading: Reading, staged: Connection) -> Iterator[Changes]:
        """The staged ones are read on a connection of their own: what is being carried is written on the other meanwhile."""
        with connected(make_url(driver_url(url))) as reader:
            reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield Digests(reading.connection, reader)

    def swap(self, restore_id: UUID, url: str, mark: int, late: Late, *, whole: bool) -> int:
        staged = make_url(driver_url(url))
        self.copy_rights(staged)
        for _ in range(TRIES - 1):
            mark = self.catch_up(staged, mark, late)
            with suppress(SwapBlocked):
                return self.try_to_swap(restore_id, staged, mark, late)
        return self.try_to_swap(restore_id, staged, self.catch_up(staged, mark, late), late)

    def catch_up(self, staged: URL, mark: int, late: Late) -> int:
        """Carry what came meanwhile, as often as there is much of it: the last carrying must fit into the time that a rename waits."""
        for _ in range(TRIES):
            began = time.monotonic()
            with self.reading() as reading, connected(staged) as into:
                late.carry(reading.connection, into, YoungRows(reading.connection, mark))
                into.commit()
                mark = reading.mark
            if time.monotonic() - began < CAUGHT_UP_SECONDS:
                break
        return mark

    def try_to_swap(self, restore_id: UUID, staged: URL, mark: int, late: Late) -> int:
        began = time.monotonic()
        names = (self.name, self.named(PREVIOUS, restore_id)), (staged.database or "", self.name)
        with self.administering() as cursor, connected(self.url) as live, connected(staged) as into:
            renaming = Renaming(self, names)
            renaming.start()
            try:
                if renaming.keeps_out(cursor) and send_away(cursor, self.name, pid_of(live), renaming.is_alive):
                    late.carry(live, into, YoungRows(live, mark))
                    into.commit()
                    live.close()
                    if renaming.is_halfway():
                        renaming.allowed = self.entered(renaming, into, late, cursor)
            finally:
                renaming.judged.set()
                live.close()
                into.close()
                renaming.join()
        if renaming.done:
            return round((time.monotonic() - began) * 1000)
        if renaming.failure is None or isinstance(renaming.failure, errors.ObjectInUse | errors.LockNotAvailable):
            raise SwapBlocked(f"Somebody stays connected to the database and cannot be sent away: {self.who_stays(names)}.")
        raise renaming.failure

    def entered(self, renaming: Renaming, into: Connection, late: Late, cursor: Any) -> bool:
        """Enter the restore in the staged data, once nobody else is there and it will not be tried again, and leave them."""
        staged, ours = into.engine.url.database or "", pid_of(into)
        with into.begin() as entering:
            late.finish(into)
            if not send_away(cursor, staged, ours, renaming.is_alive):
                entering.rollback()
                return False
        into.close()
        return send_away(cursor, staged, None, renaming.is_alive)  # the second rename would look for us ten times a second only

    def who_stays(self, names: Iterable[tuple[str, str]]) -> str:
        question = "SELECT pid, usename, application_name FROM pg_stat_activity WHERE datname = ANY(%s)"
        with self.administering() as cursor:
            cursor.execute(question, ([before for before, _ in names],))
            return (
                ", ".join(f"pid {pid} ({user} {program})".replace(" )", ")") for pid, user, program in cursor.fetchall()) or "nobody by now"
            )

    def copy_rights(self, staged: URL) -> None:
        with self.administering() as cursor:
            rights.copy_to_database(cursor, self.name, staged.database or "")
        with connected(self.url) as live, closing(connect(staged)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            rights.copy_inside(live, cursor)

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
            try:
                return connect(self.url.set(database=name))
            except psycopg2.OperationalError:
                if place == len(MAINTENANCE) - 1:
                    raise
        raise AssertionError


class Renaming(Thread):
    """Both renames, in one transaction of a thread of its own, since the first waits for everybody to leave.

    The second is made and both are committed only once they are `allowed` to be: our own connections hold them up, but the server may end
    those before all is carried."""

    def __init__(self, swap: PostgresSwap, names: tuple[tuple[str, str], tuple[str, str]]):
        super().__init__(name="renaming", daemon=True)
        self.names = names
        self.connection = swap.connect_aside()
        self.pid = self.connection.info.backend_pid
        self.failure: psycopg2.Error | None = None
        self.halfway, self.judged, self.allowed, self.done = Event(), Event(), False, False

    def run(self) -> None:
        first, second = self.names
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '5s'")  # whoever connects waits behind it
                rename(cursor, *first)
                self.halfway.set()
                self.judged.wait()
                if self.allowed:
                    rename(cursor, *second)
                    self.connection.commit()
                    self.done = True
        except psycopg2.Error as error:
            self.failure = error
        finally:
            self.connection.close()

    def keeps_out(self, cursor: Any) -> bool:
        """Wait until the first rename keeps others out; false where it has failed before."""
        question = (
            "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.objid WHERE l.pid = %s AND l.granted"
            " AND l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND d.datname = %s AND l.mode = 'AccessExclusiveLock'"
        )
        while self.is_alive():
            cursor.execute(question, (self.pid, self.names[0][0]))
            if cursor.fetchone() is not None:
                return True
            time.sleep(0.003)
        return False

    def is_halfway(self) -> bool:
        """Wait until the first rename is made; false where it has failed."""
        while self.is_alive() and not self.halfway.wait(0.05):
            pass
        return self.halfway.is_set()


def rename(cursor: Any, before: str, after: str) -> None:
    cursor.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))


class YoungRows(Changes):
    """Rows that a transaction wrote which had not ended when the data were read first.

    The age of a transaction is how many began since, in all databases of the server: for one connection it stands still within one of its
    own, and so the age of the mark has to be asked for in the same one as that of the rows.
    """

    def __init__(self, live: Connection, mark: int):
        question = text("SELECT age(CAST(CAST(:number AS text) AS xid))")
        self.age = live.execute(question, {"number": mark % 2**32}).scalar_one()

    def of(self, table: Table) -> Iterable[ColumnElement[bool]] | None:
        return [literal_column(f'age("{table.name}".xmin) <= {self.age}', Boolean)]


class Digests(Changes):
    """Compares a digest of each row, both databases being read in the order of their keys."""

    def __init__(self, live: Connection, staged: Connection):
        self.live, self.staged = live, staged

    def of(self, table: Table) -> Iterable[ColumnElement[bool]] | None:
        keys = list(table.primary_key)
        if len(keys) != 1 or not isinstance(keys[0].type, Uuid):
            return None
        return named(keys[0], differing(self.digests(self.live, table), self.digests(self.staged, table)))

    def digests(self, connection: Connection, table: Table) -> Iterator[tuple[UUID, int]]:
        key = f'"{next(iter(table.primary_key)).name}"'
        question = text(f'SELECT {key}, hashtextextended(t::text, 0) FROM "{table.name}" t ORDER BY {key}')
        found = connection.execute(question, execution_options={"yield_per": READ_AT_ONCE})
        return ((id, digest) for id, digest in found)


def differing(live: Iterator[tuple[UUID, int]], staged: Iterator[tuple[UUID, int]]) -> Iterator[UUID]:
    """The ids of live rows that the staged data do not have, or not as they are."""
    other = next(staged, None)
    for id, digest in live:
        while other is not None and other[0] < id:
            other = next(staged, None)
        if other != (id, digest):
            yield id


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    engine = patient_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def pid_of(connection: Connection) -> int:
    return int(connection.connection.dbapi_connection.info.backend_pid)  # type: ignore[union-attr]


def connect(url: URL) -> Any:
    connection = psycopg2.connect(**{**databases.arguments(url), "connect_timeout": 5})
    databases.take_time(connection)
    return connection


def patient_engine(url: URL) -> Engine:
    """For few statements that may take long."""
    settings = {"connect_args": {"connect_timeout": 5, "options": "-c timezone=UTC"}, "poolclass": NullPool}
    engine = create_engine(url, json_serializer=dump_json, hide_parameters=True, **settings)
    event.listen(engine, "connect", databases.take_time)
    return engine
