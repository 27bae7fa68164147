"""A Redis of our own that keeps nothing on disk."""

import signal
from contextlib import ExitStack
from typing import Self

import redis

from tests.servers.processes import Process, free_port, short_folder
from tests.servers.tools import program
from tests.waiting import wait_until


class Redis:
    """`with Redis() as server: server.url`; `server.flush()` empties it."""

    def __init__(self) -> None:
        found = program("redis-server")
        if found is None:
            raise FileNotFoundError("No Redis server here: apt-get install redis-server")
        self._program = found
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.folder = self._cleanup.enter_context(short_folder("redis-"))
        self._cleanup.callback(self.stop)
        self.client = self._cleanup.enter_context(redis.Redis.from_url(self.url))
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()

    def start(self) -> None:
        """Start it, also after `stop`, empty; returns when it answers."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = Process([self._program, *arguments], self.folder / "log")
        wait_until(self._answers, "Redis answers")

    def stop(self, number: int = signal.SIGKILL) -> None:
        if hasattr(self, "process"):
            self.process.stop(number)

    def flush(self) -> None:
        self.client.flushall()

    def _answers(self) -> bool:
        if not self.process.alive:
            raise RuntimeError(f"Redis did not start:\n{self.process.output()}")
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
