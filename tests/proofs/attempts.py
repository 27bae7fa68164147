"""Backups and restores tried in a process of its own, which may be killed at any of its steps, lose its connections there, or find from
there on that a disk has no more room.

A step is whatever the process is about to ask of the disk, of a database or of another program: each call that writes, makes, renames or
removes, each write of a file's content, each statement and commit on every connection, each copy by SQLite's backup API, each start of a
program; and each stage that is told.
"""

import _pyio
import gc
import io
import os
import re
import resource
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

import psycopg2
import psycopg2.extensions
from sqlalchemy.engine import make_url

import adapters.restores.restorer
import config
import domain.backups.retention
from adapters.backups.pgbackrest import PgBackRestVault
from adapters.backups.sealing import read_key
from adapters.backups.vault import FolderVault
from adapters.restores import make_restorer, merging
from adapters.restores.journal import Journal
from adapters.restores.restorer import LiveRestorer
from adapters.storage import FolderStorage
from domain.db import driver_url
from domain.errors import DomainError
from tests.proofs.disks import fill
from tests.servers.pgbackrest import STANZA

START = get_context("forkserver")
START.set_forkserver_preload(["tests.proofs.attempts", "tests.adapters.backups.conftest", "domain.models"])
CALLS = ("fsync", "ftruncate", "link", "mkdir", "open", "rename", "replace", "rmdir", "unlink", "write")
ENOUGH = 1 << 40
CHANGING = re.compile(r"[0-9a-f]{8}[-0-9a-f]*|\d+")
"""What differs between two tries in a statement that is the same."""

QUESTION = re.compile(r"(?i)(told|connect)\b|(select|show|set)\b(?!.*(pg_terminate_backend|pg_advisory|setval|for update))|pragma [^=]*$")
"""After it all is as it was before, on disk and in the databases."""

WAITING = ("SELECT * FROM pg_locks", "SELECT pid FROM pg_stat_activity", "SELECT pg_terminate_backend", "told Reading", "told Comparing")
"""What is asked or told as often as one has to wait, which is not at all in another try."""

Step = tuple[str, int]
"""What is about to be done, and which of that name it is: so it is found again where another comes or goes before it."""


@dataclass(frozen=True)
class Vault:
    """Which one, for a process that makes its own. `by_pages`: how a restore is swapped into SQLite, where little differs here."""

    database_url: str
    folder: Path
    key_file: Path | None
    storage: Path
    by_pages: bool = False

    def open(self) -> FolderVault:
        from tests.adapters.backups.conftest import vault_of

        return vault_of(self.database_url, self.folder, read_key(self.key_file)).with_uploads(FolderStorage(self.storage))

    def restorer(self) -> LiveRestorer:
        settings = {"APP_ENV": "test", "DATA_DIR": str(self.folder.parent), "DATABASE_URL": self.database_url}
        return make_restorer(config.load(settings | {"BACKUP_DIR": str(self.folder)}), self.open())


@dataclass(frozen=True)
class Archived(Vault):
    """The same by pgBackRest."""

    config: Path = Path()

    def open(self) -> FolderVault:
        key = read_key(self.key_file)
        return PgBackRestVault(self.folder, key, "1.2.3", self.database_url, stanza=STANZA, config=self.config)


@dataclass(frozen=True)
class Outcome:
    """`steps` are those that were taken, until a fault befell it; `error` is why it failed, `died` that it was killed."""

    steps: tuple[Step, ...] = ()
    error: str | None = None
    died: bool = False
    struck: bool = False

    def changing(self) -> list[Step]:
        """Those before which something may have changed since the one before: killed between two questions it leaves the same. All of
        them while it swaps, since others are at work in threads."""
        names = [name for name, _ in self.steps]
        swap = (names.index("journal swapping"), names.index("journal swapped")) if "journal swapped" in names else (0, 0)
        return [
            step
            for place, step in enumerate(self.steps)
            if place == 0 or swap[0] <= place <= swap[1] or not QUESTION.match(names[place - 1])
        ]

    def from_the_swap_on(self) -> list[Step]:
        return list(self.steps[self.steps.index(("journal swapping", 1)) :])

    def asking(self) -> list[Step]:
        """Those that need a connection, or a program that has one."""
        return [step for step in self.steps if step[0] not in CALLS and not step[0].startswith(("told", "journal"))]


def part_of(steps: list[Step], part: int, parts: int) -> list[Step]:
    """Each step is in one part, and always in the same, however many others there are."""
    return [step for step in steps if crc32(repr(step).encode()) % parts == part]


def assert_all_reached(missed: list[Step]) -> None:
    """Another try may have had to wait less often, or to carry what came late in fewer rounds: of what is done again and again, the last
    ones. What is done at all is in each."""
    assert [step for step in missed if step[1] == 1 and not step[0].startswith(WAITING)] == []


class Steps:
    """Counts them, and at one of them calls `strike`."""

    def __init__(self, at: Step | None, strike: Callable[[], None]):
        self.at, self.strike, self.struck = at, strike, False
        self.taken: list[Step] = []
        self.counts: Counter[str] = Counter()
        self.lock, self.stage = Lock(), ""

    def take(self, what: str) -> None:
        if self.struck:
            return
        with self.lock:
            name = CHANGING.sub("*", " ".join(what.split())[:100])
            self.counts[name] += 1
            step = name, self.counts[name]
            if name.startswith(WAITING) and step[1] > 3:  # which stand for all of them
                return
            self.taken.append(step)
        if step == self.at:
            self.struck = True
            self.strike()

    def told(self, percent: float, stage: str) -> None:
        if stage != self.stage:
            self.stage = stage
            self.take(f"told {stage}")

    def watch(self) -> None:
        for name in CALLS:
            setattr(os, name, self.before(getattr(os, name), name))
        io.open = _pyio.open  # whose files call os.write
        subprocess.Popen.__init__ = self.before_program(subprocess.Popen.__init__)  # type: ignore[method-assign]
        noted = Journal.step
        Journal.step = lambda journal, name, **facts: (self.take(f"journal {name}"), noted(journal, name, **facts))  # type: ignore
        watch_sqlite(self.take)
        watch_postgres(self.take)

    def before(self, act: Callable[..., Any], name: str) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            if name != "open" or arguments[1] & os.O_CREAT:
                self.take(name)
            return act(*arguments, **named)

        return stepping

    def before_program(self, start: Callable[..., None]) -> Callable[..., None]:
        def starting(process: Any, command: Any, *arguments: Any, **named: Any) -> None:
            self.take(f"start {Path(command[0]).name}")
            start(process, command, *arguments, **named)

        return starting


def watch_sqlite(take: Callable[[str], None]) -> None:
    class Cursor(sqlite3.Cursor):
        def execute(self, statement: str, *arguments: Any) -> Any:
            take(statement)
            return super().execute(statement, *arguments)

        def executemany(self, statement: str, *arguments: Any) -> Any:
            take(statement)
            return super().executemany(statement, *arguments)

    class Watched(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            take("COMMIT")
            super().commit()

        def backup(self, *arguments: Any, **named: Any) -> None:
            take("backup")
            super().backup(*arguments, **named)

        def close(self) -> None:
            take("close")  # the last one copies the log into the database
            super().close()

    sqlite3.connect = sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=Watched)  # type: ignore


def watch_postgres(take: Callable[[str], None]) -> None:
    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]
        def execute(self, statement: Any, *arguments: Any) -> Any:
            take(statement if isinstance(statement, str) else statement.as_string(self))
            return super().execute(statement, *arguments)

    class Watched(psycopg2.extensions.connection):  # type: ignore[misc]
        def commit(self) -> None:
            take("COMMIT")
            super().commit()

    connect = psycopg2.connect

    def connecting(*arguments: Any, **named: Any) -> Any:
        take("connect")
        return connect(*arguments, **{"connection_factory": Watched, "cursor_factory": Cursor, **named})

    psycopg2.connect = connecting


def attempt(
    vault: Vault,
    act: str,
    about: Any,
    *,
    die_at: Step | None = None,
    cut_at: Step | None = None,
    full_at: Step | None = None,
    disks: tuple[Path, ...] = (),
    room: int = 0,
    most_bytes: int | None = None,
    kept: int = 7,
    die_within: float = 0,
) -> Outcome:
    """Let a process call this method of the vault, or restore. `cut_at`: all connections to the server are ended at that step;
    `full_at`: from that step on these `disks` have no more than this `room`; `most_bytes`: no file that it writes may be larger;
    `kept`: full backups; `die_within`: seconds after it began to swap."""
    ours, theirs = START.Pipe(duplex=False)
    at, strike = next(
        (step, fault)
        for step, fault in (
            (cut_at, partial(end_connections, vault.database_url)),
            (full_at, partial(run_full, disks, room)),
            (die_at, die),
        )
        if step or fault is die
    )
    process = START.Process(target=run, args=(theirs, vault, act, about, at, strike, most_bytes, kept, die_within))
    process.start()
    theirs.close()
    found = Outcome(died=True, struck=True)
    with suppress(EOFError):
        found = ours.recv()
    process.join(120)
    ours.close()
    assert found.died == (process.exitcode in (-signal.SIGKILL, -signal.SIGALRM)), process.exitcode
    return found


def run(
    told: Connection,
    vault: Vault,
    act: str,
    about: Any,
    at: Step | None,
    strike: Callable[[], None],
    most_bytes: int | None,
    kept: int,
    die_within: float,
) -> None:
    gc.disable()  # it would copy what is shared with the process that this one was forked from
    domain.backups.retention.KEPT_FULLS = kept
    adapters.restores.restorer.NOTE_TRIES = 2  # with a second between them
    if vault.by_pages:
        merging.LEAST_ROWS = merging.ROWS_PER_PAGE = 0
    FolderVault.free_bytes = lambda self: ENOUGH  # type: ignore[method-assign]  # as if others had filled the disk after that
    restorer = vault.restorer() if act == "restore" else None
    opened = vault.open()
    steps = Steps(at, strike)
    steps.watch()
    if die_within:
        taken = steps.take
        steps.take = lambda what: (  # type: ignore
            taken(what),
            what == "journal swapping" and signal.setitimer(signal.ITIMER_REAL, die_within),
        )
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if most_bytes is not None:
        limit_files(most_bytes)
    error = None
    try:
        if restorer is not None:
            restorer.restore(about, steps.told, lambda: None)
        else:
            getattr(opened, act)(*(about if isinstance(about, tuple) else (about,)), steps.told)
    except DomainError as refusal:
        error = refusal.code
    except Exception as failure:  # noqa: BLE001  -- whatever else it is, the test is to see it
        error = f"{type(failure).__name__}: {failure}"
    told.send(Outcome(tuple(steps.taken), error, struck=steps.struck))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_connections(database_url: str) -> None:
    url = make_url(driver_url(database_url)).set(drivername="postgresql")
    connection = psycopg2.connect(url.set(database="postgres").render_as_string())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(OTHERS)
    connection.close()


OTHERS = """
    SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def run_full(disks: tuple[Path, ...], room: int) -> None:
    """Where no disk of our own could be made, no file may grow any more."""
    for disk in disks:
        fill(disk, room)
    if not disks:
        limit_files(room)


def limit_files(most_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
