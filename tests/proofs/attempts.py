"""Backups tried in a process of its own, which may be killed at any of its steps, or find that a disk has no more room."""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from adapters.backups.sealing import read_key
from adapters.backups.vault import FolderVault
from adapters.storage import FolderStorage
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


@dataclass(frozen=True)
class Outcome:
    """`steps` is how many there were; `error` why it failed, `died` that it was killed."""

    steps: int = 0
    error: str | None = None
    died: bool = False


class Steps:
    """Counts whatever is made durable, and each stage that is told; kills its own process at one of them."""

    def __init__(self, last: int | None):
        self.taken, self.last, self.stage = 0, last, ""

    def take(self) -> None:
        self.taken += 1
        if self.taken == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def told(self, percent: float, stage: str) -> None:
        if stage != self.stage:
            self.stage = stage
            self.take()

    def watch(self) -> None:
        for name in DURABLE:
            setattr(os, name, self.before(getattr(os, name)))

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            self.take()
            return act(*arguments, **named)

        return stepping


def attempt(vault: Vault, act: str, *arguments: Any, die_at: int | None = None, most_bytes: int | None = None, kept: int = 7) -> Outcome:
    """Let a process call this method of the vault. `most_bytes`: no file that it writes may be larger; `kept`: full backups."""
    ours, theirs = START.Pipe(duplex=False)
    process = START.Process(target=run, args=(theirs, vault, act, arguments, die_at, most_bytes, kept))
    process.start()
    theirs.close()
    found = Outcome(died=True)
    with suppress(EOFError):
        found = ours.recv()
    process.join(120)
    ours.close()
    assert found.died == (process.exitcode == -signal.SIGKILL), process.exitcode
    return found


def run(told: Connection, vault: Vault, act: str, arguments: Any, die_at: int | None, most_bytes: int | None, kept: int) -> None:
    import domain.backups.retention

    domain.backups.retention.KEPT_FULLS = kept
    FolderVault.free_bytes = lambda self: ENOUGH  # type: ignore[method-assign]  # as if others had filled the disk after that
    opened, steps = vault.open(), Steps(die_at)
    steps.watch()
    if most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    error = None
    try:
        getattr(opened, act)(*arguments, steps.told)
    except DomainError as refusal:
        error = refusal.code
    except Exception as failure:  # noqa: BLE001  -- whatever else it is, the test is to see it
        error = f"{type(failure).__name__}: {failure}"
    told.send(Outcome(steps.taken, error))
