"""Backups and restores of PostgreSQL by the portal, against pgBackRest and PostgreSQL's own programs by hand on the same cluster.

`python -m bench.pgbackrest --megabytes 100`. The floor of each figure is what somebody at a terminal would run for the same outcome: for a
backup that is known to restore, pgbackrest backup, restore, a server on that, and pg_amcheck; for a restore beside the live data, all of
that again and pg_dump into pg_restore. `alone` is pgbackrest backup by itself, which proves nothing: beside it, when ours was stored.
"""

import argparse
import shutil
import subprocess
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text

import migrations
from adapters.backups.pgbackrest import PgBackRestVault
from domain.backups.manifest import BackupType, Manifest
from domain.backups.vault import Wish
from domain.db import driver_url
from tests.servers.pgbackrest import STANZA, ArchivedPostgres
from tests.servers.tools import postgres_folder

SETTINGS = ("max_connections=100", "shared_buffers=256MB", "max_wal_size=4GB")
ROW_BYTES = 300
FILL = """
    INSERT INTO filler SELECT g, (SELECT string_agg(sha256((g * 10 + n)::text::bytea), '') FROM generate_series(1, 8) n)
    FROM generate_series(1, :rows) g
"""


def main(megabytes: int = 100, rounds: int | None = None) -> None:
    if postgres_folder() is None or shutil.which("pgbackrest") is None:
        print("PostgreSQL or pgBackRest is not installed here: `make tools` says what is missing")
        return
    with ArchivedPostgres(settings=SETTINGS) as server:
        Bench(server, megabytes).run(rounds or (3 if megabytes <= 300 else 1))


class Bench:
    def __init__(self, server: ArchivedPostgres, megabytes: int):
        self.server, self.megabytes, self.rows = server, megabytes, megabytes * 1_000_000 // ROW_BYTES
        self.programs, self.stored_after = postgres_folder(), dict[str, float]()
        self.url = server.own_database("portal")
        migrations.upgrade(self.url)
        self.engine = create_engine(driver_url(self.url))
        self.change("CREATE TABLE filler (id bigint PRIMARY KEY, words bytea)")
        self.change(FILL, rows=self.rows)
        self.change("ANALYZE filler")
        self.vault = PgBackRestVault(server.folder / "backups", None, "bench", self.url, stanza=STANZA, config=server.config)

    def change(self, statement: str, **values: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def run(self, rounds: int) -> None:
        size = self.vault.database_bytes()
        print(f"\nBackups of PostgreSQL by pgBackRest, {size / 1e6:,.0f} MB, best of {rounds}, in turns")
        best: dict[str, float] = {}
        stored: dict[str, int] = {}
        for _ in range(rounds):  # one per cent of the rows is changed before each
            for name, act in {
                "full alone": lambda: self.by_hand("full"),
                "full proven by hand": lambda: (self.by_hand("full"), self.prove_by_hand()),
                "full": lambda: self.create(BackupType.FULL, stored),
                "point in time by hand": lambda: self.prove_by_hand(load=True, moment=self.moment),
                "point in time": lambda: self.restore(self.moment),
                "incremental": lambda: self.create(BackupType.INCREMENTAL, stored),
                "incremental alone": lambda: self.by_hand("incr"),
                "incremental proven by hand": lambda: (self.by_hand("incr"), self.prove_by_hand()),
                "restore by hand": lambda: self.prove_by_hand(load=True),
                "restore": lambda: self.restore(None),
            }.items():
                self.change("UPDATE filler SET words = sha256(words) || words WHERE id <= :rows", rows=self.rows // 100)
                self.moment = self.vault.archiving().until
                begun = time.perf_counter()
                act()
                took = time.perf_counter() - begun
                best[name] = min(best.get(name, took), took)
        for name, floor, least in (
            ("full", "full proven by hand", "full alone"),
            ("incremental", "incremental proven by hand", "incremental alone"),
            ("restore", "restore by hand", ""),
            ("point in time", "point in time by hand", ""),
        ):
            alone = f"  stored after {self.stored_after[name]:.1f} s, alone {best[least]:.1f} s" if least else ""
            kept = f"  {stored[name] / 1e6:7.1f} MB stored" if name in stored else ""
            print(f"{name:16} {best[name] / best[floor]:5.2f} x floor {best[name]:7.1f} s  floor {best[floor]:7.1f} s{alone}{kept}")

    def create(self, kind: BackupType, stored: dict[str, int]) -> Manifest:
        begun, after = time.perf_counter(), 0.0

        def told(percent: float, stage: str) -> None:
            nonlocal after
            if stage == "Restoring it aside":
                after = after or time.perf_counter() - begun

        made = self.vault.create(Wish(uuid4(), kind, None, "bench"), told)
        self.stored_after[str(kind)] = min(after, self.stored_after.get(str(kind), after))
        assert made.effective_type is kind
        stored[str(kind)] = made.stored_bytes
        return made

    def restore(self, moment: datetime | None) -> None:
        url = self.server.own_database("staged")
        self.vault.stage(self.vault.list()[0], moment, url, lambda percent, stage: None)
        self.server.drop_database(url)

    def by_hand(self, kind: str) -> None:
        self.server.pgbackrest("backup", f"--type={kind}")

    def prove_by_hand(self, load: bool = False, moment: datetime | None = None) -> None:
        side = self.server.folder / "by-hand"
        target = ["--type=immediate"]
        if moment is not None:
            self.change("SELECT pg_current_xact_id()")  # a commit after the moment, to stop at
            self.server.pgbackrest("check")
            label = (self.vault.list()[0].archive or {})["label"]
            target = ["--type=time", f"--target={moment:%Y-%m-%d %H:%M:%S.%f+00}", f"--set={label}"]
        options = [f"--config={self.server.config}", f"--stanza={STANZA}", f"--pg1-path={side}", "--archive-mode=off"]
        self.as_owner("pgbackrest", *options, *target, "--target-action=promote", "restore")
        try:
            settings = f"-k {side} -c listen_addresses= -c archive_mode=off -c fsync=off -c full_page_writes=off -c autovacuum=off"
            self.as_owner(self.tool("pg_ctl"), "-D", side, "-w", "-s", "-l", side / "log", "-o", settings, "start")
            while not self.promoted(side):
                time.sleep(0.05)
            self.as_owner(self.tool("pg_amcheck"), "--install-missing", "--jobs=2", "-h", side, "-d", "portal")
            if load:
                self.load(side)
        finally:
            with suppress(subprocess.CalledProcessError):
                self.as_owner(self.tool("pg_ctl"), "-D", side, "-m", "immediate", "-s", "stop")
            self.as_owner("rm", "-rf", side)

    def load(self, side: Path) -> None:
        url = self.server.own_database("by_hand")
        dump, restore = f"{self.tool('pg_dump')} -h {side} -Fc -Z0 portal", f"{self.tool('pg_restore')} -h {self.server.folder} -U portal"
        self.as_owner("sh", "-c", f"{dump} | {restore} --no-owner --no-acl -d by_hand || true")
        self.server.drop_database(url)

    def promoted(self, side: Path) -> bool:
        return self.as_owner(self.tool("psql"), "-h", side, "-d", "portal", "-Atc", "SELECT pg_is_in_recovery()").strip() == "f"

    def tool(self, name: str) -> Path:
        assert self.programs is not None
        return self.programs / name

    def as_owner(self, *command: str | Path) -> str:
        done = subprocess.run(command, check=True, capture_output=True, text=True, **self.server._as_owner())
        return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.pgbackrest", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int)
    asked = parser.parse_args()
    main(asked.megabytes, asked.rounds)
