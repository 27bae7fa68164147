"""Backups and restores tried in a process of its own, which may be killed at any of its steps, or find that a disk has no more room."""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url

import config
import domain.backups.retention
from adapters.backups.sealing import read_key
from adapters.backups.vault import FolderVault
from adapters.restores import make_restorer
from adapters.restores.journal import Journal
from adapters.restores.restorer import LiveRestorer
from adapters.storage import FolderStorage
from domain.db import driver_url
from domain.errors import DomainError

START = get_context("forkserver")
START.set_forkserver_preload(["tests.proofs.attempts", "tests.adapters.backups.conftest", "wsgi"])
DURABLE = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
ENOUGH = 1 << 40


@dataclass(frozen=True)
class Vault:
    """Which one, for a process that makes its own."""

    database_url: str
    folder: Path
    key_file: Path | None
    storage: Path

    def open(self) -> FolderVault:
        from tests.adapters.backups.conftest import vault_of

        return vault_of(self.database_url, self.folder, read_key(self.key_file)).with_uploads(FolderStorage(self.storage))

    def restorer(self) -> LiveRestorer:
        settings = {"APP_ENV": "test", "DATA_DIR": str(self.folder.parent), "DATABASE_URL": self.database_url}
        return make_restorer(config.load(settings | {"BACKUP_DIR": str(self.folder)}), self.open())


@dataclass(frozen=True)
class Outcome:
    """`steps` is how many there were, and `marks` how many before each line of a restore's journal; `error` why it failed, `died` that it
    was killed."""

    steps: int = 0
    marks: tuple[tuple[str, int], ...] = ()
    error: str | None = None
    died: bool = False


class Steps:
    """Counts whatever is made durable, each stage that is told, each line of a journal, and each statement of a restore. At one of them
    it kills its own process, or calls `strike`."""

    def __init__(self, last: int | None, strike: Callable[[], None]):
        self.taken, self.last, self.strike, self.stage = 0, last, strike, ""
        self.marks: list[tuple[str, int]] = []

    def take(self, *_: object) -> None:
        self.taken += 1
        if self.taken == self.last:
            self.strike()

    def told(self, percent: float, stage: str) -> None:
        if stage != self.stage:
            self.stage = stage
            self.take()

    def watch(self, *, statements: bool) -> None:
        for name in DURABLE:
            setattr(os, name, self.before(getattr(os, name)))
        if statements:
            event.listen(Engine, "before_cursor_execute", self.take)
            noted = Journal.step
            Journal.step = lambda journal, name, **facts: (self.mark(name), noted(journal, name, **facts), self.take())  # type: ignore

    def mark(self, name: str) -> None:
        self.marks.append((name, self.taken))
        self.take()

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            self.take()
            return act(*arguments, **named)

        return stepping


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(
    vault: Vault,
    act: str,
    about: Any,
    *,
    die_at: int | None = None,
    cut_at: int | None = None,
    most_bytes: int | None = None,
    kept: int = 7,
    die_within: float = 0,
) -> Outcome:
    """Let a process call this method of the vault, or restore. `cut_at`: all connections to the database are ended at that step;
    `most_bytes`: no file that it writes may be larger; `kept`: full backups; `die_within`: seconds after it began to swap."""
    ours, theirs = START.Pipe(duplex=False)
    process = START.Process(target=run, args=(theirs, vault, act, about, die_at, cut_at, most_bytes, kept, die_within))
    process.start()
    theirs.close()
    found = Outcome(died=True)
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
    die_at: int | None,
    cut_at: int | None,
    most_bytes: int | None,
    kept: int,
    die_within: float,
) -> None:
    domain.backups.retention.KEPT_FULLS = kept
    FolderVault.free_bytes = lambda self: ENOUGH  # type: ignore[method-assign]  # as if others had filled the disk after that
    restorer, opened = vault.restorer(), vault.open()
    steps = Steps(cut_at or die_at, partial(end_connections, vault.database_url) if cut_at else die)
    steps.watch(statements=act == "restore")
    if die_within:
        noted = steps.mark
        steps.mark = lambda name: (noted(name), name == "swapping" and signal.setitimer(signal.ITIMER_REAL, die_within))  # type: ignore
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    error = None
    try:
        if act == "restore":
            restorer.restore(about, steps.told, lambda: None)
        else:
            getattr(opened, act)(about, steps.told)
    except DomainError as refusal:
        error = refusal.code
    except Exception as failure:  # noqa: BLE001  -- whatever else it is, the test is to see it
        error = f"{type(failure).__name__}: {failure}"
    told.send(Outcome(steps.taken, tuple(steps.marks), error))


def end_connections(database_url: str) -> None:
    url = make_url(driver_url(database_url))
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(OTHERS), {"us": f"%{url.database}%"})
    engine.dispose()


OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE :us OR application_name LIKE 'pg_%'"
