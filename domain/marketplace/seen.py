"""Which keys a file has used so far, on disk, so that a file of any length needs little memory."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self


class Seen:
    def __init__(self) -> None:
        self.database = sqlite3.connect("", isolation_level=None)  # a temporary file that goes with the connection
        self.database.execute("PRAGMA journal_mode=OFF")
        self.database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.database.close()

    def before(self, key: str, line: int) -> int | None:
        """The line this key was first used on; None, and noted, where it is new."""
        if self.database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, line)).rowcount:
            return None
        return int(self.database.execute("SELECT line FROM seen WHERE key = ?", (key,)).fetchone()[0])
