"""Where in the log the snapshot of a backup stands, so that the archive can go on from it."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from adapters.backups.archive.hold import begin_reading, connect
from adapters.backups.archive.wal import INDEX_BYTES, Position, read_index
from domain.db import now

PATIENCE = 30.0
UNLOCKED_TRIES = 3


def pin(source: sqlite3.Connection, database: Path, *, archived: bool) -> tuple[datetime, Position | None]:
    """Begin a read transaction; answers the moment it reads, and its place in the log. No place where there is no log, where nothing is
    archived and the log is empty, or where others kept writing: the backup is as good, but nothing can go on from it."""
    with closing(connect(database)) as writer:
        deadline, tries = time.monotonic() + PATIENCE, 0
        while True:
            tries += 1
            locked = tries > UNLOCKED_TRIES and is_locked(writer)
            try:
                before = None if locked else look(database)
                begin_reading(source)
                moment, after = now(), look(database)
                if after is None or (after.frame == 0 and not archived):
                    return moment, None
                if after.frame and (locked or before == after):
                    return moment, after
                if time.monotonic() > deadline:
                    return moment, None
                source.execute("ROLLBACK")
                if locked and after.frame == 0:
                    write_a_frame(writer)
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            time.sleep(0.001)


def is_locked(writer: sqlite3.Connection) -> bool:
    try:
        writer.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def write_a_frame(writer: sqlite3.Connection) -> None:
    """An empty log has no salts yet, so no place in it can be named. The number is one that SQLite keeps for programs and we do not use."""
    (number,) = writer.execute("PRAGMA user_version").fetchone()
    writer.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")
    writer.execute("COMMIT")


def look(database: Path) -> Position | None:
    """Read by another program: a file of SQLite's that this process opens and closes takes with it the locks of its own connections."""
    for _ in range(3):  # one that a writer is just changing cannot be read
        found = subprocess.run(["head", "-c", str(INDEX_BYTES), f"{database.resolve()}-shm"], capture_output=True, check=False)
        if index := read_index(found.stdout):
            return index.position
    return None
