"""A PostgreSQL cluster of our own, without durability: never the machine's own cluster."""

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg2

from tests.servers.processes import Process, free_port, short_folder
from tests.servers.tools import postgres_folder
from tests.waiting import wait_until

SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB")
EAGER_VACUUM = (
    "autovacuum_naptime=1",
    "autovacuum_vacuum_threshold=0",
    "autovacuum_vacuum_scale_factor=0",
    "autovacuum_vacuum_insert_threshold=0",
    "autovacuum_vacuum_insert_scale_factor=0",
    "autovacuum_analyze_threshold=0",
    "autovacuum_analyze_scale_factor=0",
    "autovacuum_vacuum_cost_delay=100",
    "autovacuum_vacuum_cost_limit=1",
)
"""Once a second it looks for what is to be vacuumed, and takes its time over it."""


class Postgres:
    """`with Postgres() as server: url = server.new_database()`; with `tcp=True` it listens on 127.0.0.1 as well."""

    def __init__(self, tcp: bool = False, settings: Sequence[str] = SETTINGS, initdb: Sequence[str] = ()):
        programs = postgres_folder()
        if programs is None:
            raise FileNotFoundError("No PostgreSQL server here: apt-get install postgresql")
        self._programs = programs
        self.port = free_port() if tcp else 5432
        self._settings, self._initdb = settings, initdb
        self._listen = "127.0.0.1" if tcp else ""
        # PostgreSQL refuses to run as root; Debian's package brings the user it runs as.
        self._owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._numbers = count(1)
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.folder = self._cleanup.enter_context(short_folder("pg-"))
        self._cleanup.callback(self.stop, signal.SIGQUIT)
        if os.getuid() == 0:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        initdb = [self._programs / "initdb", "-D", self.folder / "data", "-U", "postgres", "--auth=trust", "--no-sync"]
        subprocess.run([*initdb, "--encoding=UTF8", "--locale=C.UTF-8", *self._initdb], check=True, capture_output=True, **self._as_owner())
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()

    def start(self) -> None:
        """Start it, also after `stop`; returns when it takes connections."""
        options = [f"listen_addresses={self._listen}", f"unix_socket_directories={self.folder}", *self._settings]
        command: list[str | Path] = [self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        for option in options:
            command += ["-c", option]
        self.process = Process(command, self.folder / "log", **self._as_owner())
        wait_until(self._answers, "PostgreSQL takes connections", seconds=60)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it and drop every connection; the data stay. SIGQUIT is its crash, SIGTERM waits for clients."""
        if hasattr(self, "process"):
            self.process.stop(number)

    def new_database(self, template: str = "template0", name: str | None = None) -> str:
        """The URL of a new database, a copy of `template`."""
        name = name or f"test_{next(self._numbers)}"
        self.execute(f'create database "{name}" template "{template}" encoding \'UTF8\'')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f'drop database if exists "{name}" with (force)')

    def url(self, name: str) -> str:
        if self._listen:
            return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"
        return f"postgresql://postgres@/{name}?host={self.folder}&port={self.port}"

    def execute(self, statement: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def vacuuming(self, name: str) -> int:
        """Wait until it vacuums that database by itself; answers the pid."""
        question = "select pid from pg_stat_activity where backend_type = 'autovacuum worker' and datname = %s"
        with self.connect() as connection, connection.cursor() as cursor:

            def found() -> int | None:
                cursor.execute(question, (name,))
                return next((pid for (pid,) in cursor.fetchall()), None)

            return wait_until(found, "it vacuums", seconds=60)

    @contextlib.contextmanager
    def connect(self, name: str = "postgres") -> Iterator[Any]:
        """A plain psycopg2 connection as superuser, in autocommit."""
        connection = psycopg2.connect(host=str(self.folder), port=self.port, user="postgres", dbname=name)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def _answers(self) -> bool:
        if not self.process.alive:
            raise RuntimeError(f"PostgreSQL did not start:\n{self.process.output()}")
        try:
            with self.connect():
                return True
        except psycopg2.OperationalError:
            return False

    def _as_owner(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": self.folder}
        if os.getuid() == 0:
            options |= {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        return options
