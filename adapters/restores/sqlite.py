"""SQLite: the restored data are written INTO the live database with the backup API, in one transaction.

A file put in its place instead would have the old write-ahead log applied to it, by whoever has the database open.

    gate shut, write lock -> carry what came late -> pin the old data -> side.backup(live) -> gate open -> copy the old data aside
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, Uuid

from adapters.restores.swap import Late, Reading, Swap, named
from domain import gate
from domain.db import make_engine, read_only
from domain.restores.carrying import Changes
from domain.restores.errors import RestoreFailed, SwapBlocked
from domain.restores.ways import WAYS, Way

SIDE, PREVIOUS = "side.db", "previous.db"
WAIT_SECONDS = 30.0
COPIED_AT_ONCE = 1000


class SqliteSwap(Swap):
    def __init__(self, database: Path, folder: Path):
        self.database, self.folder = database, folder

    def bytes_needed(self) -> int:
        """What is put together, and what was replaced. The log beside the live database takes as much once more for a while."""
        with closing(connect(self.database)) as live:
            (pages,) = live.execute("PRAGMA page_count").fetchone()
            (size,) = live.execute("PRAGMA page_size").fetchone()
        return 2 * int(pages) * int(size)

    def make_stage(self, restore_id: UUID) -> str:
        self.drop_stage(restore_id)
        side = self.folder / str(restore_id) / SIDE
        side.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return f"sqlite:///{side}"

    def drop_stage(self, restore_id: UUID) -> None:
        remove_database(self.folder / str(restore_id) / SIDE)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        engine = make_engine(f"sqlite:///{self.database}")
        try:
            with read_only(), engine.connect() as connection:
                yield Reading(connection, 0)
        finally:
            engine.dispose()

    @contextmanager
    def comparing(self, url: str, reading: Reading, staged: Connection) -> Iterator[Changes]:
        with AttachedChanges(Path(url.removeprefix("sqlite:///")), self.database) as changes:
            yield changes

    def swap(self, restore_id: UUID, url: str, mark: int, late: Late) -> int:
        side = Path(url.removeprefix("sqlite:///"))
        with closing(connect(self.database)) as live, closing(connect(self.database)) as pinned:
            self.check_page_sizes(live, side)
            began = time.monotonic()
            with gate.shut(str(self.database)):
                lock(live)
                self.carry_late(side, late)
                pinned.execute("BEGIN")
                pinned.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it reads the old data
                live.execute("ROLLBACK")
                with closing(connect(side)) as source:
                    source.backup(live)
            frozen = time.monotonic() - began
            self.keep(restore_id, pinned)
        return round(frozen * 1000)

    def carry_late(self, side: Path, late: Late) -> None:
        live_engine, staged_engine = make_engine(f"sqlite:///{self.database}"), make_engine(f"sqlite:///{side}")
        try:
            with (
                staged_engine.begin() as staged,
                AttachedChanges(side, self.database) as changes,
                read_only(),
                live_engine.connect() as live,
            ):
                late.carry(live, staged, changes)
                late.finish(staged)
        finally:
            live_engine.dispose()
            staged_engine.dispose()

    def keep(self, restore_id: UUID, pinned: sqlite3.Connection) -> None:
        """Copy what was replaced from the transaction that still reads it. Where that cannot be done (a full disk), the safety backup is
        what is left of it."""
        kept = self.folder / str(restore_id) / PREVIOUS
        draft = kept.with_suffix(".part")
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous=OFF")
                pinned.backup(target, pages=COPIED_AT_ONCE, sleep=0)
                target.execute("PRAGMA synchronous=FULL")
            draft.replace(kept)
        except (OSError, sqlite3.Error):
            draft.unlink(missing_ok=True)
        pinned.execute("ROLLBACK")

    def check_page_sizes(self, live: sqlite3.Connection, side: Path) -> None:
        with closing(connect(side)) as source:
            sizes = [connection.execute("PRAGMA page_size").fetchone()[0] for connection in (live, source)]
        if sizes[0] != sizes[1]:
            raise RestoreFailed(
                f"The backup's pages have {sizes[1]} bytes and the database's {sizes[0]}: VACUUM it with PRAGMA page_size={sizes[1]} first."
            )

    def previous_url(self, restore_id: UUID) -> str | None:
        kept = self.folder / str(restore_id) / PREVIOUS
        return f"sqlite:///{kept}" if kept.exists() else None

    def drop_previous(self, restore_id: UUID) -> None:
        remove_database(self.folder / str(restore_id) / PREVIOUS)


class AttachedChanges(Changes):
    """Compares both databases in SQLite itself, row by row."""

    def __init__(self, side: Path, live: Path):
        self.connection = sqlite3.connect(f"file:{side}?mode=ro", uri=True, isolation_level=None)
        self.connection.execute("ATTACH ? AS live", (f"file:{live}?mode=ro",))

    def __enter__(self) -> AttachedChanges:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def of(self, table: Table) -> Iterable[ColumnElement[bool]] | None:
        keys = list(table.primary_key)
        if len(keys) != 1 or not isinstance(keys[0].type, Uuid):
            return None
        key = f'"{keys[0].name}"'
        differs = f"s.{key} IS NULL"
        if WAYS[table.name] is not Way.ADDED:
            differs += "".join(f' OR l."{column.name}" IS NOT s."{column.name}"' for column in table.columns)
        question = f'SELECT l.{key} FROM live."{table.name}" l LEFT JOIN main."{table.name}" s ON s.{key} = l.{key} WHERE {differs}'
        return named(keys[0], (UUID(value) for (value,) in self.connection.execute(question)))


def connect(database: Path) -> sqlite3.Connection:
    """Only what is there: sqlite3 would make an empty database of a wrong name."""
    return sqlite3.connect(f"file:{database}?mode=rw", uri=True, isolation_level=None, timeout=WAIT_SECONDS)


def lock(live: sqlite3.Connection) -> None:
    try:
        live.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise SwapBlocked(f"Somebody has been writing to the database for {WAIT_SECONDS:g} s: find out who, and try again.") from None


def remove_database(file: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal", ".gate", ".part"):
        file.with_name(file.name + ending).unlink(missing_ok=True)
    file.with_suffix(".part").unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        shutil.rmtree(file.parent, ignore_errors=True)
