"""From what pgBackRest has stored to a database that can be read, and from there into an empty one on the live server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from adapters.backups.pgbackrest.programs import TICK, Programs
from adapters.backups.pgbackrest.repository import PERCENT, Repository
from adapters.backups.pgbackrest.side import Side, server_programs
from adapters.backups.postgres import DumpVault, connected, without_what_needs_a_superuser
from domain.backups.errors import BackupCorrupt, EngineUnavailable
from domain.backups.manifest import Manifest
from domain.backups.vault import Progress

DAMAGE_FOUND = 2  # how pg_amcheck ends then


@dataclass(frozen=True)
class Restoring:
    programs: Programs
    repository: Repository
    dumps: DumpVault

    @contextmanager
    def restored(self, manifest: Manifest, target: Sequence[str], folder: Path, progress: Progress) -> Iterator[URL]:
        """The portal's database as it was at the target, on a server of our own. Raises RecoveryEnded or BackupCorrupt."""
        archive = manifest.archive
        assert archive is not None
        side = Side(self.programs, folder, archive["superuser"])
        try:
            self.repository.restore(archive["label"], side.prepare(), target, restoring(progress))
            with side.server(server_programs(archive["major"]), lambda: progress(85, "Replaying the log")) as url:
                yield url.set(database=self.dumps.url.database)
        finally:
            side.remove()

    def look_through(self, url: URL, manifest: Manifest, progress: Progress) -> str:
        """All pages and indexes, by pg_amcheck; the functions it needs are gone from the database afterwards."""
        assert manifest.archive is not None
        otherwise, had_it = sorts_otherwise(url), has_extension(url)
        if otherwise:
            return "indexes not looked through, since this machine sorts words in another way than the server's"
        exactly = (url.database or "").replace('"', '""')  # else it is a pattern, and capitals are none
        server = [f"--host={url.query['host']}", f"--port={url.query['port']}", f"--username={url.username}"]
        command: list[str | Path] = [server_programs(manifest.archive["major"]) / "pg_amcheck", *server, "--install-missing", "--jobs=2"]
        status, said = self.programs.run(
            [*command, f'--database="{exactly}"'], lambda line: progress(88, "Looking through pages and indexes")
        )
        words = next((line.strip() for line in said.splitlines() if line.strip()), f"exit {status}")[:300]
        if status == DAMAGE_FOUND:
            raise BackupCorrupt(f"The database in the backup is damaged itself: {words}")
        if status != 0:
            raise EngineUnavailable(f"pg_amcheck failed: {words}")
        if not had_it:
            with connected(url) as connection, connection.begin():
                connection.execute(text("DROP EXTENSION IF EXISTS amcheck"))
        return "all pages and indexes sound"

    def copy(self, source: URL, target: URL, manifest: Manifest, progress: Progress) -> None:
        """Into an empty database, through pg_dump and pg_restore: another owner, no rights of the old one."""
        assert manifest.archive is not None
        folder = server_programs(manifest.archive["major"])
        options = ("--no-owner", "--no-acl", "--no-tablespaces", "--exit-on-error")
        needed = ("--format=custom", "--compress=0", *without_what_needs_a_superuser(source, target))
        with self.dumps.running(f"{folder}/pg_dump", *needed, url=source, stdout=subprocess.PIPE) as dump:
            assert dump.stdout is not None
            with self.dumps.running(f"{folder}/pg_restore", *options, url=target, stdin=dump.stdout) as restore:
                dump.stdout.close()
                while restore.poll() is None:
                    progress(90, "Copying it beside the live database")
                    time.sleep(TICK)
        progress(95, "Copying it beside the live database")
        with connected(target, isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def restoring(progress: Progress) -> Callable[[str], None]:
    percent = 0.0

    def tick(line: str) -> None:
        nonlocal percent
        if "restore file" in line and (match := PERCENT.search(line)):
            percent = float(match[1])
        progress(72 + 0.12 * percent, "Restoring it aside")

    return tick


def has_extension(url: URL) -> bool:
    with connected(url) as connection:
        return connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")).scalar() is not None


def sorts_otherwise(url: URL) -> bool:
    """Whether this machine's collation has another version than the one that the indexes were made with: they would all look damaged."""
    versions = "datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)"
    compared = f"SELECT {versions} FROM pg_database WHERE datname = current_database()"
    with connected(url) as connection:
        return bool(connection.execute(text(compared)).scalar_one())
