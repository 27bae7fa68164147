"""An archiver as a process, and a writer who notes what it did when, so that what is put together again can be held against it."""

import random
import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from tests.servers.processes import Process

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = """
import logging, signal, sys
from pathlib import Path
from threading import Event
from adapters.backups.archive.process import archive
from adapters.backups.archive.store import Store
from adapters.backups.sealing import read_key
logging.basicConfig(level=logging.INFO)
stopping = Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
key = Path(sys.argv[3]) if len(sys.argv) > 3 else None
archive(Path(sys.argv[1]), Store(Path(sys.argv[2]), read_key(key)), stopping)
"""


class Writer:
    """Commits rows, each with its time, and notes when each commit had returned."""

    def __init__(self, database: Path):
        self.database, self.committed, self.stop = database, [], Event()
        self.thread = Thread(target=self.write)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def write(self):
        dice = random.Random(3)
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=30)) as connection:
            while not self.stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                at = micros()
                connection.execute("INSERT INTO oracle (at, filler) VALUES (?, randomblob(?))", (at, dice.randrange(2000)))
                connection.execute("COMMIT")
                self.committed.append((at, micros()))
                self.stop.wait(dice.random() / 100)

    def missing(self, target: datetime, rows: list[int]) -> float:
        """Seconds between the moment and the first commit before it that is not there; nothing after it may be there."""
        limit = int(target.timestamp() * 1e6)
        assert all(at <= limit for at in rows)
        assert rows == [at for at, _ in self.committed[: len(rows)]]
        lost = [done for _, done in self.committed[len(rows) :] if done <= limit]
        return (limit - lost[0]) / 1e6 if lost else 0


def micros() -> int:
    return time.time_ns() // 1000


def start_archiver(database: Path, folder: Path, key_file: Path | None, log: Path) -> Process:
    """Start one; it is the caller's to stop."""
    return Process([sys.executable, "-c", ARCHIVE, database, folder, *([key_file] if key_file else [])], log, cwd=ROOT)


def add_oracle(database: Path) -> None:
    """The table that a Writer writes to."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE oracle (id INTEGER PRIMARY KEY, at INTEGER, filler BLOB)")
        connection.commit()


def times_in(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [at for (at,) in connection.execute("SELECT at FROM oracle ORDER BY id")]


def between(start: datetime, end: datetime, part: float) -> datetime:
    return start + timedelta(microseconds=int((end - start) / timedelta(microseconds=1) * part))
