"""Backups and restores beside the bare tools, on a database of so many megabytes: SQLite's online copy, pg_dump and pg_restore, with zstd.

Each floor is what somebody at a terminal would run for the same outcome; a dump is only known to restore once it was restored. Ours is
given twice, until what is stored is whole, and until it was put together again and compared. `python -m bench.backups --megabytes 1000`,
or `make bench MEGABYTES=1000`.
"""

import argparse
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import zstandard
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

import config
import migrations
from adapters.backups import make_vault
from adapters.backups.vault import FolderVault
from adapters.restores import make_restorer
from bench.archive import archiver
from domain.backups.manifest import BackupType, Manifest
from domain.backups.vault import Wish
from domain.db import driver_url, make_engine, now
from domain.restores.models import Restore
from domain.restores.restorer import Order
from tests.factories import make_user
from tests.many import multiply
from tests.servers.postgres import Postgres
from tests.servers.tools import postgres_folder

ROW = 720  # bytes that a row of the filling takes up
DURABLE = ("max_connections=100", "shared_buffers=128MB", "max_wal_size=4GB")
CHECKING = ("Putting together", "Restoring it aside")
"""What a backup says once all of it is stored."""


def main(megabytes: int = 100) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-backups-") as folder:
        Sqlite(Path(folder), megabytes).run()
    if postgres_folder() is None:
        print("PostgreSQL is not installed here: `make tools` says what is missing")
        return
    with Postgres(settings=DURABLE) as server, tempfile.TemporaryDirectory(prefix="bench-backups-") as folder:
        PostgreSQL(Path(folder), megabytes, server).run()


class Stages:
    """When each stage began, one after another."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.begins: list[tuple[str, float]] = []

    def told(self, percent: float, stage: str) -> None:
        if not self.begins or self.begins[-1][0] != stage:
            self.begins.append((stage, time.perf_counter() - self.begun))

    def checking(self) -> float:
        """When it last began to put together what is stored."""
        return next(at for stage, at in reversed(self.begins) if stage.startswith(CHECKING))

    def longest(self) -> str:
        spent, ends = Counter[str](), [*(at for _, at in self.begins[1:]), time.perf_counter() - self.begun]
        for (stage, at), end in zip(self.begins, ends, strict=True):
            spent[stage] += end - at
        return ", ".join(f"{stage.lower()} {seconds:.1f} s" for stage, seconds in spent.most_common(7))


class Bench:
    """A portal with its data in the folder, where the bare tools write too."""

    def __init__(self, folder: Path, megabytes: int, database_url: str = ""):
        self.folder, self.megabytes = folder, megabytes
        environment = {"APP_ENV": "test", "DATA_DIR": str(folder), "SECRET_KEY": "b" * 32, "LOG_LEVEL": "ERROR"}
        self.settings = config.load(environment | ({"DATABASE_URL": database_url} if database_url else {}))
        migrations.upgrade(self.settings.database_url)
        self.engine = make_engine(self.settings.database_url)
        self.vault: FolderVault = make_vault(self.settings)
        self.rounds = 3 if megabytes <= 300 else 1
        self.fill(megabytes * 1_000_000 // ROW)
        self.filled = self.digest()

    def fill(self, rows: int) -> None:
        random = "lower(hex(randomblob(250)))" if self.engine.dialect.name == "sqlite" else RANDOM_TEXT
        with Session(self.engine) as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text("SET LOCAL statement_timeout = 0"))
            multiply(session, make_user(session), rows, name=lambda n: text(random))
            session.commit()

    def best(self, act: Callable[[], float]) -> float:
        return min(act() for _ in range(self.rounds))

    def create(self, type: BackupType) -> tuple[float, float, Manifest]:
        """The seconds until it was stored, those until it was checked, and what it was."""
        stages = Stages()
        made = self.vault.create(Wish(uuid4(), type, None, "bench"), stages.told)
        return stages.checking(), time.perf_counter() - stages.begun, made

    def created(self, type: BackupType, floor: float, name: str, checked_floor: float | None = None) -> Manifest:
        found = [self.create(type) for _ in range(self.rounds if type is BackupType.FULL else 1)]
        stored, checked = min(each[0] for each in found), min(each[1] for each in found)
        made = found[-1][2]
        say(f"{name}, stored", stored, floor, made.stored_bytes)
        say(f"{name}, stored and checked", checked, checked_floor or floor, made.stored_bytes)
        return made

    def restored(self, manifest: Manifest, floor: float, whole_floor: float) -> None:
        """Restore after one per cent has changed, and check that what is live is what was backed up, by the rows of the filling."""
        self.engine.dispose()
        found: list[tuple[float, float, str, int]] = []
        for _ in range(self.rounds):
            change(self.engine)
            self.engine.dispose()
            stages, order = Stages(), Order(uuid4(), "bench", backup_id=manifest.id)
            make_restorer(self.settings, self.vault).restore(order, stages.told, lambda: None)
            whole, longest = time.perf_counter() - stages.begun, stages.longest()
            with Session(self.engine) as session:
                frozen = session.get_one(Restore, order.id).frozen_ms or 0
            assert self.digest() == self.filled, "what was restored is not what was backed up"
            found.append((whole - stages.checking(), whole, longest, frozen))
        say("restored: put together, carried forward, swapped", min(each[0] for each in found), floor)
        whole, longest = min(each[1:3] for each in found)
        say("the same, and the backup of the live data before", whole, whole_floor)
        print(f"{'':4}of which {longest}; nobody could write for {min(each[3] for each in found)} ms")

    def digest(self) -> str:
        """Of the filling, each row in the order of the keys."""
        whole = hashlib.sha256()
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT id, name, email FROM users ORDER BY id"), execution_options={"yield_per": 5000})
            for row in rows:
                whole.update(repr(tuple(map(str, row))).encode())
        return whole.hexdigest()


class Sqlite(Bench):
    @property
    def database(self) -> Path:
        return Path(make_url(self.settings.database_url).database or "")

    def run(self) -> None:
        database = self.database
        self.engine.dispose()
        print(f"\nBackups of SQLite, {self.vault.database_bytes() / 1e6:,.0f} MB, best of {self.rounds}")
        copy, packed = self.folder / "copy.db", self.folder / "copy.zst"
        bare = say(
            "online copy (sqlite3 .backup), bare", self.best(lambda: spent(lambda: copy_online(database, copy))), size=copy.stat().st_size
        )
        packing = self.best(lambda: spent(lambda: pack(copy, packed)))
        floor = say("the same, and zstd -3", bare + packing, size=packed.stat().st_size)
        full = self.created(BackupType.FULL, floor, "full")
        backing_up = floor
        change(self.engine)
        self.engine.dispose()
        self.created(BackupType.INCREMENTAL, floor, "incremental, 1 % and 200 rows changed")
        unpacking = self.best(lambda: spent(lambda: unpack(packed, copy)))
        say("zstd -d, bare", unpacking)
        target = self.folder / "staged.db"
        say("put together and compared", spent(lambda: self.vault.stage(full, None, f"sqlite:///{target}", silent)), unpacking)
        target.unlink()
        self.point_in_time(target, unpacking)
        live = self.folder / "live.db"
        copy_online(database, live)
        with closing(sqlite3.connect(live)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # as the portal's is
        floor = say("the same, and copied into one that is live, bare", unpacking + spent(lambda: copy_into(copy, live)))
        self.restored(full, floor, backing_up + floor)

    def point_in_time(self, target: Path, floor: float) -> None:
        """From a full backup on through what the archiver kept of one per cent that changed; nothing bare does that."""
        with archiver(self.folder):
            full = self.vault.create(Wish(uuid4(), BackupType.FULL, None, "bench"), silent)
            change(self.engine)
            changed = now()
            self.engine.dispose()
            while (moment := self.vault.archiving().until) is None or moment < changed:
                time.sleep(0.05)
            took = spent(lambda: self.vault.stage(full, moment, f"sqlite:///{target}", silent))
        say("the same, to a moment 1 % and 200 rows later", took, floor)
        with closing(sqlite3.connect(target)) as then, closing(sqlite3.connect(self.database)) as live:
            for query in ("SELECT count(*) FROM users", "SELECT id, name FROM users ORDER BY id DESC LIMIT 10000"):
                assert then.execute(query).fetchall() == live.execute(query).fetchall(), "not as it was at that moment"
        target.unlink()


def copy_online(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    copy_into(source, target)


def copy_into(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def pack(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as packed:
        zstandard.ZstdCompressor(level=3, write_checksum=True).copy_stream(file, packed)
        os.fsync(packed.fileno())


def unpack(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as plain:
        zstandard.ZstdDecompressor().copy_stream(file, plain)
        os.fsync(plain.fileno())


class PostgreSQL(Bench):
    def __init__(self, folder: Path, megabytes: int, server: Postgres):
        self.server = server
        super().__init__(folder, megabytes, server.new_database())

    def run(self) -> None:
        print(f"\nBackups of PostgreSQL by pg_dump, {self.vault.database_bytes() / 1e6:,.0f} MB, best of {self.rounds}")
        dump = self.folder / "dump.zst"
        dumping = say("pg_dump and zstd -3, bare", self.best(lambda: spent(lambda: self.dump(dump))), size=dump.stat().st_size)
        loading = say("zstd -d and pg_restore, bare", self.best(lambda: spent(lambda: self.load(dump))))
        full = self.created(BackupType.FULL, dumping, "full", checked_floor=dumping + loading)
        url = self.server.new_database()
        say("put together", spent(lambda: self.vault.stage(full, None, url, silent)), loading)
        self.server.drop_database(url)
        self.restored(full, loading, dumping + 2 * loading)

    def dump(self, target: Path) -> None:
        with target.open("wb") as file, zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(file, closefd=False) as packed:
            tool = subprocess.Popen(
                ["pg_dump", "--format=custom", "--compress=0", libpq(self.settings.database_url)], stdout=subprocess.PIPE
            )
            assert tool.stdout is not None
            shutil.copyfileobj(tool.stdout, packed, 1 << 20)
            assert tool.wait() == 0

    def load(self, source: Path) -> None:
        url = self.server.new_database()
        command = ["pg_restore", "--no-owner", "--no-acl", "--exit-on-error", "--dbname", libpq(url)]
        tool = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert tool.stdin is not None
        with source.open("rb") as file:
            zstandard.ZstdDecompressor().copy_stream(file, tool.stdin)
        tool.stdin.close()
        assert tool.wait() == 0
        self.server.drop_database(url)


def libpq(url: str) -> str:
    return make_url(driver_url(url)).set(drivername="postgresql").render_as_string(hide_password=False)


def change(engine: Engine) -> None:
    """One per cent of the rows beside each other, and two hundred anywhere."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            some = "SELECT id FROM users ORDER BY created_at, id LIMIT (SELECT count(*) / 100 FROM users)"
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"UPDATE users SET name = {RANDOM_TEXT} FROM (SELECT 1 AS n) one WHERE id IN ({some})"))
            connection.execute(text("UPDATE users SET name = 'changed' WHERE id IN (SELECT id FROM users ORDER BY id LIMIT 200)"))
            return
        random = "lower(hex(randomblob(250)))"
        (most,) = connection.execute(text("SELECT max(rowid) FROM users")).one()
        connection.execute(text(f"UPDATE users SET name = {random} WHERE rowid <= {most // 100}"))
        for number in range(200):
            connection.execute(text(f"UPDATE users SET name = {random} WHERE rowid = {number * most // 200 + 1}"))


def silent(percent: float, stage: str) -> None:
    pass


RANDOM_TEXT = "(SELECT string_agg(md5(random()::text || n::text || piece::text), '') FROM generate_series(1, 16) AS piece)"


def say(name: str, seconds: float, floor: float | None = None, size: int | None = None, goal: bool = True) -> float:
    ratio = "floor" if floor is None else f"{seconds / floor:5.2f} x"
    print(f"{name:48} {ratio:>9} {seconds:8.2f} s" + (f" {size / 1e6:9.1f} MB" if size is not None else ""), flush=True)
    return seconds


def spent(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.backups", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    main(parser.parse_args().megabytes)
