"""The live server: what is asked of it, and the moment at which a backup and the database can be held against each other."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from adapters.backups.postgres import TABLES, connected
from domain.backups.vault import Progress

TRIES, WAIT = 40, "100ms"
"""How often, and how long at most each time, writers are asked to wait for the moment that a backup is to hold."""
BETWEEN = 0.25
LOCK_NOT_AVAILABLE, INSUFFICIENT_PRIVILEGE = "55P03", "42501"


@dataclass(frozen=True)
class Server:
    version: str
    major: int
    system_id: str
    piece_bytes: int  # of the write-ahead log
    superuser: str
    archives: bool
    failing: bool  # the last try to archive a piece was not the one that worked
    archived: int | None  # the place of the last piece that was archived
    waiting: int  # pieces that are ended and not archived yet
    now: datetime


@dataclass(frozen=True)
class Pinned:
    """A moment, by the clock and in the write-ahead log, and a connection that reads the database as it is then.

    `exact`: nobody wrote at that moment, so what is read is what the log gives up to there, no more and no less.
    """

    connection: Connection
    moment: datetime
    lsn: str
    exact: bool


def examine(url: URL) -> Server:
    with connected(url) as connection:
        row = connection.execute(
            text(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,"
                " (SELECT system_identifier FROM pg_control_system()),"
                " (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),"
                " (SELECT rolname FROM pg_roles WHERE oid = 10), current_setting('archive_mode') <> 'off',"
                " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),"
                " last_archived_wal, pg_walfile_name(pg_current_wal_lsn()), clock_timestamp()"
                " FROM pg_stat_archiver"
            )
        ).one()
    version, major, system_id, piece_bytes, superuser, archives, failing, archived, current, moment = row
    last = place(archived, piece_bytes) if archived and re.match(r"[0-9A-F]{24}", archived) else None
    waiting = 0 if last is None else max(0, place(current, piece_bytes) - last - 1)
    return Server(version, major, str(system_id), piece_bytes, superuser, archives, failing, last, waiting, moment)


def cluster_bytes(url: URL) -> int:
    """Of all databases, as far as we may ask."""
    with connected(url) as connection:
        sizes = "SELECT sum(pg_database_size(oid)) FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')"
        return int(connection.execute(text(sizes)).scalar_one())


def commit_something(url: URL) -> None:
    """A commit later than any moment asked for: recovery stops before it, and without one it would not know where to."""
    with connected(url) as connection:
        new_transaction(connection)


@contextmanager
def pinned(url: URL, progress: Progress) -> Iterator[Pinned]:
    """Between two transactions of everybody else. A snapshot alone is no place in the log: what commits at that moment may stand in the
    log and not be seen yet. Where nobody writes just now, nobody waits; else whoever writes waits for the milliseconds it takes to look.
    """
    with connected(url) as reader, connected(url) as gate:
        for attempt in range(TRIES):
            progress(61, "Waiting for a moment between two changes")
            if (found := look_where_nobody_writes(reader, gate)) is not None:
                break
            with writers_wait(gate) as paused:
                if paused or attempt == TRIES - 1:
                    found = look(reader, exact=paused)
                    break
            time.sleep(BETWEEN)
        assert found is not None
        yield found


def look_where_nobody_writes(reader: Connection, witness: Connection) -> Pinned | None:
    """Between two transactions of our own, whose numbers follow each other: nobody began to write in between. And whoever began before
    had ended, or the snapshot would know of somebody."""
    before = new_transaction(witness)
    found = look(reader, exact=True)
    oldest, next_one = reader.execute(
        text("SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s")
    ).one()
    if oldest == next_one == before + 1 == new_transaction(witness):
        return found
    reader.rollback()
    return None


def look(reader: Connection, *, exact: bool) -> Pinned:
    reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    lsn, moment = reader.execute(text("SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()")).one()
    return Pinned(reader, moment, lsn, exact)


def new_transaction(witness: Connection) -> int:
    """The number of one that is over."""
    with witness.begin():
        return int(witness.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())


@contextmanager
def writers_wait(gate: Connection) -> Iterator[bool]:
    """Whether they do: not where one of them, or a VACUUM, takes longer than we make the others wait, or a table is somebody else's, who
    lets us read it and no more."""
    with gate.begin():
        names = gate.execute(text(f"SELECT string_agg(format('%I', relname), ', ') FROM ({TABLES}) t")).scalar_one()
        gate.execute(text(f"SET LOCAL lock_timeout TO '{WAIT}'"))
        try:
            with gate.begin_nested():
                gate.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) not in (LOCK_NOT_AVAILABLE, INSUFFICIENT_PRIVILEGE):
                raise
            yield False
            return
        yield True


def place(name: str, piece_bytes: int) -> int:
    """Which piece of the write-ahead log that is, counted from the first: the same on each time line."""
    return int(name[8:16], 16) * (2**32 // piece_bytes) + int(name[16:24], 16)


def place_of(lsn: str, piece_bytes: int) -> int:
    high, low = lsn.split("/")
    return ((int(high, 16) << 32) + int(low, 16)) // piece_bytes
