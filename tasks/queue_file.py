"""The queue where there is no Redis: Huey's SQLite file, made anew by whoever finds it gone, emptied or broken."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from huey.storage import SqliteStorage

log = logging.getLogger(__name__)

BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL)


class QueueFile(SqliteStorage):
    """It holds nothing but rings, and the sweep rings again for what is lost: so nothing in it is worth saving, and no process may go
    on with a file that the others no longer see."""

    def __init__(self, *args: Any, **settings: Any):
        self.path = Path(settings["filename"])
        self._opened: tuple[int, int] | None = None
        super().__init__(*args, create_tables=False, **settings)

    @property
    def conn(self) -> Any:
        if self._conn is not None and self.on_disk() != self._opened:
            self.drop()
        if self._conn is None:
            with self.alone():
                self.open()
        return self._conn

    def open(self) -> None:
        if self.on_disk() is None:
            self.remove()
        try:
            self._conn = self._create_connection()
            for statement in self.ddl:
                self._conn.execute(statement)
        except sqlite3.DatabaseError:
            self.drop()
            raise
        finally:
            self._opened = self.on_disk()

    def enqueue_several(self, messages: Sequence[bytes]) -> None:
        with self.db(commit=True) as cursor:
            rows = [(self.name, self.to_blob(message), 0) for message in messages]
            cursor.executemany("INSERT INTO task (queue, data, priority) VALUES (?, ?, ?)", rows)

    @contextmanager
    def db(self, commit: bool = False, close: bool = False) -> Iterator[Any]:
        try:
            with super().db(commit, close) as cursor:
                yield cursor
        except sqlite3.DatabaseError as error:
            if is_broken(error):
                with self.lock, self.alone():
                    self.make_anew()
            raise

    def make_anew(self) -> None:
        """Remove the file that was found broken, unless another process already did."""
        self.drop()
        if self.on_disk() != self._opened:
            return
        log.error("the queue's file is broken: a new one is made, and the sweep rings again for the jobs that were in it")
        self.remove()

    def remove(self) -> None:
        for ending in ("-wal", "-shm", ""):
            with suppress(OSError):
                Path(f"{self.filename}{ending}").unlink()

    def drop(self) -> None:
        if self._conn is not None:
            with suppress(sqlite3.Error):
                self._conn.close()
            self._conn = None

    def on_disk(self) -> tuple[int, int] | None:
        """Which file is there under the queue's name; none that is empty, since one that was opened never is."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found.st_size else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process opens or removes the file meanwhile."""
        with Path(f"{self.filename}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_broken(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return "no such table" in str(error) or (code is not None and code & 0xFF in BROKEN)
