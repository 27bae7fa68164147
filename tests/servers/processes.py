"""Starting and stopping the processes behind the servers."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import reaper


def free_port() -> int:
    """A TCP port nobody listens on, below the kernel's own range, so that no outgoing connection can take it first."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def short_folder(prefix: str) -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket in it (the limit is 107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    reaper.watch("folder", folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        reaper.forget("folder", folder)


class Process:
    """A child in a process group of its own, its output in a file."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, **options: Any):
        self.log = log
        with log.open("ab") as output:
            options |= {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "start_new_session": True}
            self._child = subprocess.Popen(command, env=env, **options)
        self.pid = self._child.pid
        reaper.watch("group", self.pid)

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    def send(self, number: int) -> None:
        """Send a signal to this process alone."""
        self._child.send_signal(number)

    def children(self) -> list[int]:
        """The process ids of its children: the workers of a gunicorn."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def wait(self, seconds: float = 30) -> int:
        return self._child.wait(seconds)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Ask it to end; whatever of its group is left after that is killed. Answers its exit status."""
        if self.alive:
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(seconds)
        return self.kill_group()

    def kill_group(self) -> int:
        """kill -9 to the process and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._child.wait()
        reaper.forget("group", self.pid)
        return status

    def output(self) -> str:
        return self.log.read_text(errors="replace")
