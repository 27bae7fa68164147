"""The archiver's own connections to the database: what it reads, and how it keeps SQLite from beginning the log anew too early."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from domain.db import address_of


class Checkpoint(NamedTuple):
    busy: int
    frames: int
    backfilled: int


class Hold:
    """A read transaction that is renewed without ever being let go of.

    While it reads in the log, SQLite cannot begin the log anew. Where all of the log was in the database file when the transaction
    began, it reads there instead; then the log may begin anew once, and no checkpoint of the new one gets anywhere before the hold is
    renewed. So whoever copies all that is committed *after* a new transaction began and *before* the old one ends misses nothing.
    """

    def __init__(self, database: Path):
        self.held, self.other = connect(database, patience=5), connect(database, patience=5)
        self.writer, self.checkpointer = connect(database), connect(database)
        begin_reading(self.held)

    @contextmanager
    def renewed(self) -> Iterator[None]:
        begin_reading(self.other)
        yield
        self.held.execute("ROLLBACK")
        self.held, self.other = self.other, self.held

    @contextmanager
    def writers_waiting(self, patience: float) -> Iterator[bool]:
        """Whether nobody can commit meanwhile; False where others kept writing for so many seconds."""
        locked = self.lock(patience)
        try:
            yield locked
        finally:
            if locked:
                self.writer.execute("ROLLBACK")

    def lock(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while True:
            try:
                self.writer.execute("BEGIN IMMEDIATE")
                return True
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)

    def checkpoint(self, mode: str = "PASSIVE") -> Checkpoint:
        return Checkpoint(*self.checkpointer.execute(f"PRAGMA wal_checkpoint({mode})").fetchone())

    def close(self) -> None:
        for connection in (self.held, self.other, self.writer, self.checkpointer):
            connection.close()


def connect(database: Path, patience: float = 0) -> sqlite3.Connection:
    connection = sqlite3.connect(address_of(database, "mode=rw"), uri=True, isolation_level=None, timeout=patience, check_same_thread=False)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def begin_reading(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
