"""The archive of a SQLite database: a writer that notes what it did when, and any moment put together again."""

import random
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.adapters.backups.conftest import silent, vault_of, wish
from tests.servers.processes import Process
from tests.waiting import wait_until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
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


@pytest.fixture
def database(sqlite_database) -> Path:
    file = Path(sqlite_database.renew().removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE oracle (id INTEGER PRIMARY KEY, at INTEGER, filler BLOB)")
        connection.commit()
    return file


@pytest.fixture
def vault(database, folder, key):
    return vault_of(f"sqlite:///{database}", folder, key)


@pytest.fixture
def archiver(database, folder, key, tmp_path, vault):
    """Starts the archiver as a process that belongs to the test, and waits until it watches."""
    started = []

    def start() -> Process:
        arguments = [database, folder, *([tmp_path / "backup.key"] if key else [])]
        before = vault.archiving().until
        started.append(Process([sys.executable, "-c", ARCHIVE, *arguments], tmp_path / "archiver.log", cwd=ROOT))
        wait_until(lambda: vault.archiving().until != before, "it watches", seconds=30)
        return started[-1]

    yield start
    for process in started:
        process.kill_group()


@pytest.fixture
def restored(vault, tmp_path):
    """The times in a database as it was at a moment, and the moment that was reached."""
    count = iter(range(1000))

    def at(manifest, moment):
        file = tmp_path / f"restored-{next(count)}.db"
        vault.check_moment(manifest, moment)
        reached = vault.stage(manifest, moment, f"sqlite:///{file}", silent)
        assert reached <= (moment or reached)
        with closing(sqlite3.connect(file)) as connection:
            return [row for (row,) in connection.execute("SELECT at FROM oracle ORDER BY id")], reached

    return at


def between(start: datetime, end: datetime, part: float) -> datetime:
    return start + timedelta(microseconds=int((end - start) / timedelta(microseconds=1) * part))


def test_any_moment_since_the_backup_can_be_had_and_nothing_after_it(database, vault, archiver, restored):
    archiver()
    dice = random.Random(5)
    with Writer(database) as writer:
        wait_until(lambda: len(writer.committed) > 20, "it writes")
        manifest = vault.create(wish(), silent)
        count = len(writer.committed)
        wait_until(lambda: len(writer.committed) > count + 600, "it goes on", seconds=60)
        just_now = datetime.now(UTC)
        for part in [1, *(dice.random() for _ in range(11))]:
            target = between(manifest.snapshot_at, just_now, part)
            rows, reached = restored(manifest, target)
            lag = writer.missing(target, rows)
            assert lag <= (target - reached).total_seconds() < 5
        [span] = vault.coverage()
        assert span.start == manifest.snapshot_at
        assert span.end >= just_now
