"""The portal as it runs in production: the lines of the Procfile as real processes, to be killed as one likes."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx

from tests.servers.processes import Process, free_port, short_folder
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sys.executable).parent
PROCESSES = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


class Portal:
    """`with Portal({"DATABASE_URL": url}) as portal: httpx.get(portal.url + "/healthz")`.

    DATA_DIR is a folder of its own unless the settings name one. The database is taken as it is; `migrate=True` runs
    `flask db upgrade` first. `workers=0` leaves the worker out; `start_worker` starts one more.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, migrate: bool = False, workers: int = 1):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.web: Process | None = None
        self.workers: list[Process] = []
        self._settings = dict(settings or {})
        self._migrate, self._workers = migrate, workers
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()

    def _begin(self) -> None:
        self.folder = self._cleanup.enter_context(short_folder("portal-"))
        self._cleanup.callback(self.stop)
        self.data_dir = Path(self._settings.setdefault("DATA_DIR", str(self.folder / "data")))
        self.environment = {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "APP_ENV": "test",
            "PORT": str(self.port),
            **self._settings,
        }
        if self._migrate:
            self.flask("db", "upgrade")
        self.start_web()
        for _ in range(self._workers):
            self.start_worker()

    def start_web(self) -> Process:
        """Start gunicorn, also after its end; returns when /readyz answers 200."""
        self.web = self._start("web")
        wait_until(self._ready, f"{self.url}/readyz answers 200", seconds=60)
        return self.web

    def start_worker(self) -> Process:
        self.workers.append(self._start("worker"))
        return self.workers[-1]

    def flask(self, *arguments: str, seconds: float = 120) -> str:
        """Run a command line to its end and answer its standard output; an error with all it said where it fails."""
        command = [PROGRAMS / "flask", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, timeout=seconds, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"flask {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self) -> None:
        """TERM to all of them at once, as a supervisor does; KILL to what is left after 30 s."""
        running = [process for process in (self.web, *self.workers) if process]
        for process in running:
            process.send(signal.SIGTERM)
        for process in running:
            process.stop()
        self.web, self.workers = None, []

    def output(self) -> str:
        """All that the processes have written so far: for the message of a failed assertion."""
        return "\n".join(f"== {log.stem}\n{log.read_text(errors='replace')}" for log in self.folder.glob("*.log"))

    def _start(self, name: str) -> Process:
        return Process(["sh", "-c", f"exec {PROCESSES[name]}"], self.folder / f"{name}.log", env=self.environment, cwd=ROOT)

    def _ready(self) -> bool:
        assert self.web is not None
        if not self.web.alive:
            raise RuntimeError(f"The web process ended with {self.web.returncode}:\n{self.web.output()}")
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
