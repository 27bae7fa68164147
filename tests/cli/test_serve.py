"""`flask serve` as `make run` starts it: real processes, on SQLite, in an empty folder."""

import os
import signal
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.servers.processes import Process, free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
FLASK = Path(sys.executable).parent / "flask"

pytestmark = pytest.mark.processes


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "served"


@pytest.fixture
def serve(data_dir, tmp_path):
    """Starts `flask serve` on a port, by default on a free one, as a process that belongs to the test."""
    started = []

    def start(port: int | None = None) -> "Serving":
        started.append(Serving(port or free_port(), data_dir, tmp_path / f"{len(started)}.log"))
        return started[-1]

    yield start
    for serving in started:
        serving.process.stop()


class Serving:
    def __init__(self, port: int, data_dir: Path, log: Path):
        self.url = f"http://127.0.0.1:{port}"
        environment = {"PATH": os.defpath, "HOME": str(data_dir), "DATA_DIR": str(data_dir / "var"), "PORT": str(port)}
        self.process = Process([FLASK, "serve"], log, env=environment, cwd=ROOT)

    def ready(self) -> "Serving":
        wait_until(self.greeted, "the portal says where it runs", seconds=120)
        return self

    def greeted(self) -> bool:
        assert self.process.alive, self.process.output()
        return "Ctrl-C stops it." in self.process.output()

    def child(self, name: bytes) -> int:
        return next(pid for pid in self.process.children() if name in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def ended(self, pid: int) -> bool:
        """Gone, or a zombie whose parent died before it: the sandbox of a test run may have no init to bury it."""
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


class TestServe:
    def test_from_its_first_start_to_its_death(self, serve, data_dir):
        """One story rather than four tests: each start takes seconds, the first one loads the demo data."""
        serving = serve().ready()
        children = serving.process.children()
        assert serving.answers()
        assert f"The portal runs at {serving.url}" in serving.process.output()
        assert "finance@example.com" in serving.process.output()
        assert serving.process.stop(signal.SIGINT) == 0, "Ctrl-C ends it well"
        assert len(children) == 3
        assert all(serving.ended(pid) for pid in children)
        assert not serving.answers()

        with closing(sqlite3.connect(data_dir / "var" / "portal.db")) as database:
            database.execute("update users set name = 'Somebody of mine'")
            database.commit()
        serving = serve().ready()
        assert "finance@example.com" in serving.process.output()
        assert serving.process.stop(signal.SIGTERM) == 0, "TERM ends it well"
        with closing(sqlite3.connect(data_dir / "var" / "portal.db")) as database:
            kept = database.execute("select distinct name from users").fetchall()
        assert kept == [("Somebody of mine",)], "a second start keeps the data"

        serving = serve().ready()
        goes_on, anew = (
            "the archive goes on where it ended",
            "a new archive begins",
        )  # on a busy machine it may come after somebody who writes
        wait_until(lambda: goes_on in serving.process.output() or anew in serving.process.output(), "what changes is kept")
        web = serving.child(b"gthread")
        os.kill(serving.child(b"worker"), signal.SIGKILL)
        assert serving.process.wait() == 1, "the death of one process ends the others"
        assert "The worker process ended with -9" in serving.process.output()
        assert serving.ended(web)

        serving = serve().ready()
        children = serving.process.children()
        serving.process.send(signal.SIGKILL)
        wait_until(lambda: all(serving.ended(pid) for pid in children), "its own death ends them all", seconds=30)

    def test_it_names_another_port_when_this_one_is_taken(self, serve):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            serving = serve(port)

            assert serving.process.wait() == 1
        assert serving.process.output() == (f"Error: Port {port} is taken: write `make run PORT={port + 1}`, or stop what listens there\n")
