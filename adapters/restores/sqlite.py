"""SQLite: the restored data are written INTO the live database, in one transaction.

A file put in its place instead would have the old write-ahead log applied to it, by whoever has the database open.

    gate shut, write lock -> carry what came late -> pin the old data -> exchange the rows that differ -> gate open -> keep the old data

Where much differs, or the schemas do, all pages are written by the backup API instead: it takes as long as the database is large.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, Table, literal_column

from adapters.backups.catalog import write_whole
from adapters.restores import written
from adapters.restores.merging import FOUND, WAIT_SECONDS, Merging
from adapters.restores.swap import Late, Reading, Swap, named
from domain import gate
from domain.db import address_of, make_engine, read_only
from domain.restores.carrying import Changes
from domain.restores.errors import RestoreFailed, SwapBlocked

SIDE, PREVIOUS = "side.db", "previous.db"
CHECKSUM = ".sha256"
COPIED_AT_ONCE = 1000


class SqliteSwap(Swap):
    def __init__(self, database: Path, folder: Path):
        self.database, self.folder = database, folder
        self.damaged = False  # what was met while comparing: no row that differs is known then

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

    def stage_previous(self, restore_id: UUID, undone_id: UUID) -> str:
        check_kept(self.folder / str(undone_id) / PREVIOUS)
        url = self.make_stage(restore_id)
        with closing(connect(self.folder / str(undone_id) / PREVIOUS)) as kept, closing(sqlite3.connect(file_of(url))) as side:
            side.execute("PRAGMA synchronous=OFF")
            kept.backup(side, pages=COPIED_AT_ONCE, sleep=0)
        return url

    def drop_stage(self, restore_id: UUID) -> None:
        remove_database(self.folder / str(restore_id) / SIDE)
        with closing(connect(self.database)) as live:
            written.stop(live)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with closing(connect(self.database)) as live:
            written.put_down_from_now_on(live)
        engine = make_engine(f"sqlite:///{self.database}")
        try:
            with read_only(), engine.connect() as connection:
                yield Reading(connection, 0)
        finally:
            engine.dispose()

    @contextmanager
    def comparing(self, url: str, reading: Reading, staged: Connection) -> Iterator[Changes]:
        side = file_of(url)
        with closing(connect(side)) as connection:
            written.put_down_from_now_on(connection)
        with self.into_live(side) as merging:
            self.damaged = False
            try:
                compared = merging.compare()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                    raise
                self.damaged, compared = True, set()  # what carries looks at each row, and reads what can be read
            yield Rows(lambda table: merging.rows_found(table) if table in compared else None)

    def into_live(self, side: Path) -> Merging:
        return Merging(self.database, side, found_beside(side))

    def into_side(self, side: Path) -> Merging:
        return Merging(side, self.database, found_beside(side))

    def swap(self, restore_id: UUID, url: str, mark: int, late: Late, *, whole: bool) -> int:
        side = file_of(url)
        self.check_page_sizes(side)
        with self.into_side(side) as old:
            with self.into_live(side) as live:
                began = time.monotonic()
                with gate.shut(str(self.database)):
                    lock(live)
                    self.carry_late(side, late, live)
                    old.pin()
                    merged = whole and not self.damaged and live.is_worth_it() and became_equal(live)
                    if merged:
                        live.connection.execute("COMMIT")
                    else:
                        live.connection.rollback()
                        self.copy_pages(side)
                frozen = time.monotonic() - began
            kept = self.keep_rows(old) if merged else self.keep_pages(restore_id, old)
        if merged and kept and not side.with_name(f"{side.name}-wal").exists():  # nobody has it open: its log is in the file
            side.replace(self.folder / str(restore_id) / PREVIOUS)
        note_checksum(self.folder / str(restore_id) / PREVIOUS)
        return round(frozen * 1000)

    def carry_late(self, side: Path, late: Late, locked: Merging) -> None:
        live_engine, staged_engine = make_engine(f"sqlite:///{self.database}"), make_engine(f"sqlite:///{side}")
        try:
            with staged_engine.begin() as staged, read_only(), live_engine.connect() as live:
                late.carry(live, staged, Rows(locked.rows_written))
                late.finish(staged)
        finally:
            live_engine.dispose()
            staged_engine.dispose()

    def copy_pages(self, side: Path) -> None:
        with closing(connect(side)) as source, closing(connect(self.database)) as live:
            written.stop(source)
            source.backup(live)

    def keep_rows(self, old: Merging) -> bool:
        """Make what was put together what was replaced, by the same rows the other way round. Where what was replaced cannot be kept (a
        full disk), the safety backup is what is left of it."""
        try:
            equal = old.merge()
            old.connection.execute("COMMIT" if equal else "ROLLBACK")
        except sqlite3.Error:
            return False
        return equal

    def keep_pages(self, restore_id: UUID, old: Merging) -> bool:
        """Copy what was replaced from the transaction that still reads it."""
        kept = self.folder / str(restore_id) / PREVIOUS
        draft = kept.with_suffix(".part")
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous=OFF")
                old.connection.backup(target, name="other", pages=COPIED_AT_ONCE, sleep=0)
                target.execute("PRAGMA synchronous=FULL")
                with suppress(sqlite3.DatabaseError):  # damaged as it may be
                    written.stop(target)
            draft.replace(kept)
        except (OSError, sqlite3.Error):
            draft.unlink(missing_ok=True)
            return False
        return True

    def check_page_sizes(self, side: Path) -> None:
        with closing(connect(self.database)) as live, closing(connect(side)) as source:
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


class Rows(Changes):
    """Rows by their numbers; None for a table that could not be compared."""

    def __init__(self, of_table: Callable[[str], Iterable[int] | None]):
        self.of_table = of_table

    def of(self, table: Table) -> Iterable[ColumnElement[bool]] | None:
        rows = self.of_table(table.name)
        return None if rows is None else named(literal_column(f'"{table.name}".rowid', Integer), rows)


def connect(database: Path) -> sqlite3.Connection:
    """Only what is there: sqlite3 would make an empty database of a wrong name."""
    return sqlite3.connect(address_of(database, "mode=rw"), uri=True, isolation_level=None, timeout=WAIT_SECONDS)


def lock(live: Merging) -> None:
    try:
        live.lock()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise SwapBlocked(f"Somebody has been writing to the database for {WAIT_SECONDS:g} s: find out who, and try again.") from None


def became_equal(live: Merging) -> bool:
    """An index that lacks rows is met only by whoever takes them out: all pages are written instead."""
    try:
        return live.merge()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT):
            raise
        return False


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def found_beside(side: Path) -> Path:
    return side.with_name(side.name + FOUND)


def note_checksum(kept: Path) -> None:
    """Without it, a rollback has SQLite's own check alone to tell whether what is put back is what was replaced."""
    with suppress(OSError), kept.open("rb") as file:
        write_whole(kept.with_name(kept.name + CHECKSUM), hashlib.file_digest(file, "sha256").hexdigest().encode())


def check_kept(kept: Path) -> None:
    """Raises RestoreFailed where the file is another than what was kept."""
    with suppress(FileNotFoundError):  # a process that died right after the swap has written none
        noted = kept.with_name(kept.name + CHECKSUM).read_text()
        with kept.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != noted:
                raise RestoreFailed(f"{kept} is not what that restore had replaced any more: restore the safety backup instead.")


def remove_database(file: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal", ".gate", ".part", FOUND, CHECKSUM):
        file.with_name(file.name + ending).unlink(missing_ok=True)
    for draft in (file.with_suffix(".part"), *file.parent.glob(f"{file.name}.*.part")):
        draft.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        shutil.rmtree(file.parent, ignore_errors=True)
