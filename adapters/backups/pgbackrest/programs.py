"""Starting programs as the right user, each in a session of its own, so that whatever it started ends with it."""

from __future__ import annotations

import os
import pwd
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.backups.errors import EngineUnavailable

TICK = 0.2
OPERATION = "PORTAL_BACKUP_OPERATION"
"""Marks, with the folder of backups, each program of an operation: those that outlive it are found by that."""
OURS_ALONE = ("PGBACKREST_RESTORE_CONFIG", "PGBACKREST_USER")  # pgBackRest takes what begins so for an option of its own
TO_END = 10.0


@dataclass(frozen=True)
class Account:
    """Whom programs run as: the portal's own user, or, where that is root, another, since PostgreSQL refuses to run as root."""

    entry: pwd.struct_passwd | None = None

    @staticmethod
    def named(name: str | None) -> Account:
        """Raises EngineUnavailable where there is no such user, or the portal may not become it."""
        if os.geteuid() != 0:
            with suppress(KeyError):
                if name is None or pwd.getpwnam(name).pw_uid == os.geteuid():
                    return Account()
            raise EngineUnavailable(
                f"The portal does not run as root and cannot become {name}: unset PGBACKREST_USER, or run it as {name}."
            )
        try:
            entry = pwd.getpwnam(name or "postgres")
        except KeyError:
            raise EngineUnavailable(
                f"There is no user {name or 'postgres'} here: set PGBACKREST_USER to one that may read pgBackRest's repository."
            ) from None
        if entry.pw_uid == 0:
            raise EngineUnavailable("PostgreSQL refuses to run as root: set PGBACKREST_USER to another user.")
        return Account(entry)

    def options(self) -> dict[str, Any]:
        if self.entry is None:
            return {}
        groups = os.getgrouplist(self.entry.pw_name, self.entry.pw_gid)
        return {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": groups}

    def own(self, *paths: Path) -> None:
        if self.entry is not None:
            for path in paths:
                os.chown(path, self.entry.pw_uid, self.entry.pw_gid)

    def let_through(self, folder: Path) -> None:
        """Let it reach what is its own inside the folder, and see nothing else there."""
        if self.entry is not None:
            os.chown(folder, -1, self.entry.pw_gid)
            folder.chmod(0o710)


@dataclass(frozen=True)
class Programs:
    account: Account
    folder: Path  # of backups: what an operation starts is known by it

    def start(self, command: Sequence[str | Path], *, operation: bool = False, **options: Any) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name not in OURS_ALONE}
        environment |= {"TZ": "UTC", "LC_ALL": "C.UTF-8"} | ({OPERATION: str(self.folder)} if operation else {})
        every: dict[str, Any] = {"stdin": subprocess.DEVNULL, "env": environment, "cwd": "/", "start_new_session": True}
        every |= options | self.account.options()
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(command, **every)
        except FileNotFoundError:
            raise EngineUnavailable(f"{command[0]} cannot be found: install it on this machine.") from None
        return process

    def run(self, command: Sequence[str | Path], tick: Callable[[str], None], *, operation: bool = False) -> tuple[int, str]:
        """Run it to its end; answers its status and what it said. `tick` hears each line, and often nothing; it may raise to stop."""
        process = self.start(command, operation=operation, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        said, rest = bytearray(), b""
        try:
            with process.stdout as output, selectors.DefaultSelector() as ready:
                ready.register(output, selectors.EVENT_READ)
                while True:
                    tick("")
                    if not ready.select(TICK):
                        continue
                    piece = os.read(output.fileno(), 1 << 16)
                    if not piece:
                        break
                    said += piece
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        tick(line.decode("utf-8", "replace"))
            return process.wait(), said.decode("utf-8", "replace")
        finally:
            end_group(process)

    def end_rests(self) -> None:
        """Kill what an operation that died left running; call only while no other runs."""
        mark = f"{OPERATION}={self.folder}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Its children too: one that pgBackRest leaves behind holds the lock of the stanza for another minute."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_end(pid: int, seconds: float = TO_END) -> bool:
    deadline = time.monotonic() + seconds
    while runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    """One that has ended, and whose parent has not asked yet how, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
