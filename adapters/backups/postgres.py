"""Backups of PostgreSQL by pg_dump: full ones, each restored into a database of its own and compared table by table.

The dump and what it is compared with are of one moment: pg_dump is given the snapshot of the transaction that counts the rows.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import IO, Any
from uuid import UUID

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import make_dsn
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy import Engine as Database
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from adapters import databases
from adapters.backups.sealing import THREADS, Hashing, Key, seal, unseal
from adapters.backups.vault import FolderVault
from domain.backups.errors import BackupCorrupt, EngineMismatch, EngineUnavailable, IncrementalNotSupported
from domain.backups.manifest import BackupType, Engine, Manifest, Verification
from domain.backups.vault import Finding, Progress, Wish
from domain.db import driver_url, now

log = logging.getLogger(__name__)

STORED = 0.7  # of the database, at most, for what is kept
TOOLS = ("pg_dump", "pg_restore")
TICK = 0.2  # seconds
ASIDE = "_check_"
"""A database named for the portal's, this and a backup is ours to drop: backups are put together in such."""
NAMED_WHOLE = 24  # bytes: what is left of a name beside that


class DumpVault(FolderVault):
    engine = Engine.POSTGRESQL

    def __init__(self, folder: Path, key: Key | None, app_version: str, database_url: str):
        super().__init__(folder, key, app_version)
        self.url = make_url(driver_url(database_url))

    def check_wish(self, wish: Wish) -> None:
        if wish.type is BackupType.INCREMENTAL:
            raise IncrementalNotSupported("pg_dump makes full backups only: ask for backup_type full, or set up pgBackRest.")
        self.check_tools()
        super().check_wish(wish)

    def check_fit(self, manifest: Manifest) -> None:
        if manifest.engine is self.engine and manifest.archive is not None:
            raise EngineMismatch("This backup was made by pgBackRest: set PGBACKREST_STANZA to restore it.")
        super().check_fit(manifest)

    def database_bytes(self) -> int:
        with self.connected() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def bytes_needed(self) -> int:
        return int(self.database_bytes() * STORED)

    def make(self, wish: Wish, parent: Manifest | None, draft: Path, progress: Progress) -> Manifest:
        self.check_tools()
        started_at = now()
        with self.connected() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            moment, snapshot, version, size = connection.execute(
                text(
                    "SELECT clock_timestamp(), pg_export_snapshot(), current_setting('server_version'),"
                    " pg_database_size(current_database())"
                )
            ).one()
            progress(5, "Reading what is there")
            with being_read(connection) as read:
                tables = read(lambda: progress(10, "Reading what is there"))
            (revision,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
            sequence, head = connection.execute(text("SELECT sequence, hash FROM audit_head")).one()

            def told(done: int) -> None:
                progress(15 + 55 * min(done / max(size, 1), 1), "Dumping the database")

            options = (f"--snapshot={snapshot}", *without_what_needs_a_superuser(self.url, self.url))
            with self.running("pg_dump", "--format=custom", "--compress=0", *options, stdout=subprocess.PIPE) as dump:
                assert dump.stdout is not None
                sealed = seal(dump.stdout, draft, "dump", self.key, told, threads=THREADS)
        manifest = Manifest(
            id=wish.id,
            type=wish.type,
            effective_type=BackupType.FULL,
            engine=self.engine,
            started_at=started_at,
            snapshot_at=moment,
            finished_at=now(),
            schema_revision=revision,
            app_version=self.app_version,
            engine_version=version,
            database_bytes=size,
            snapshot_sha256=sealed.sha256,
            files=(sealed.stored,),
            row_counts={table: rows for table, (rows, _) in tables.items()},
            contents={table: digest for table, (_, digest) in tables.items()},
            audit_sequence=sequence,
            audit_hash=head,
            description=wish.description,
            created_by=wish.created_by,
            job_id=wish.job_id,
            key_fingerprint=self.fingerprint,
        )
        what = self.compare(manifest, draft, progress)
        done = now()
        return replace(manifest, finished_at=done, verified=Verification(done, True, what))

    def check(self, manifest: Manifest, work: Path, progress: Progress) -> str:
        self.check_stored(manifest)
        return self.compare(manifest, self.catalog.files(manifest.id), progress)

    def compare(self, manifest: Manifest, folder: Path, progress: Progress) -> str:
        """Restore it into a database of its own beside the portal's, and compare each table with what was there."""
        progress(72, "Restoring it aside")
        with self.aside(manifest.id) as url:
            self.restore(manifest, folder, url)
            progress(90, "Comparing")
            with connected(url) as connection:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                with being_read(connection) as read:
                    found = read(lambda: progress(95, "Comparing"))
        check_contents(manifest, found)
        return "restored into a database of its own, and each table equal to what was there, row by row"

    def stage(self, manifest: Manifest, moment: datetime | None, url: str, progress: Progress) -> datetime:
        self.check_stored(manifest)
        progress(10, "Restoring it aside")
        self.restore(manifest, self.catalog.files(manifest.id), make_url(driver_url(url)))
        return manifest.snapshot_at

    def restore(self, manifest: Manifest, folder: Path, url: URL) -> None:
        options = ("--no-owner", "--no-acl", "--no-tablespaces", "--exit-on-error")
        with self.running("pg_restore", *options, url=url, stdin=subprocess.PIPE) as program:
            assert program.stdin is not None
            whole = Hashing(program.stdin)
            try:
                unseal(folder, manifest.file("dump"), whole, self.key)
            except BrokenPipeError:
                pass  # it says itself what it could not take
            finally:
                with suppress(BrokenPipeError):
                    program.stdin.close()
        if whole.hash.hexdigest() != manifest.snapshot_sha256:
            raise BackupCorrupt("The dump in the backup is not what was dumped.")

    @contextmanager
    def aside(self, backup_id: UUID) -> Iterator[URL]:
        """An empty database for a moment. What processes that died left of theirs is dropped first: one operation runs at a time."""
        with self.connected() as connection:
            droppable = connection.scalars(text("SELECT datname FROM pg_database WHERE pg_has_role(datdba, 'USAGE')")).all()
        for left in droppable:
            if re.fullmatch(re.escape(self.named_aside("")) + "[0-9a-f]{32}", left):
                self.drop(left)
        name = self.named_aside(backup_id.hex)
        with self.administering() as cursor:
            databases.create_like(cursor, self.url.database or "", name)
        try:
            yield self.url.set(database=name)
        finally:
            self.drop(name)

    def named_aside(self, backup: str) -> str:
        """A long name is shortened, and still no other database's."""
        name = self.url.database or ""
        if len(name.encode()) > NAMED_WHOLE:
            digest = hashlib.sha256(name.encode()).hexdigest()[:7]
            name = f"{name.encode()[: NAMED_WHOLE - 8].decode(errors='ignore')}_{digest}"
        return f"{name}{ASIDE}{backup}"

    def drop(self, name: str) -> None:
        """Who looks into every database may be in this one: then it is dropped before the next is made."""
        with self.administering() as cursor:
            try:
                databases.drop(cursor, name)
            except errors.ObjectInUse as error:
                log.warning("a database in which a backup was checked stays until the next one: %s", error)

    @contextmanager
    def administering(self) -> Iterator[Any]:
        """A cursor that commits each statement."""
        try:
            with connected(self.url, isolation_level="AUTOCOMMIT") as connection, closing(connection.connection.cursor()) as cursor:
                yield cursor
        except (SQLAlchemyError, psycopg2.Error) as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise EngineUnavailable(
                f"A database to check the backup in cannot be made ({reason}). Grant it: ALTER ROLE ... CREATEDB"
            ) from None

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        with connected(self.url) as connection:
            yield connection

    @contextmanager
    def running(self, tool: str, *options: str, url: URL | None = None, **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
        """One of PostgreSQL's programs; its first line of complaint is the error. The password is in no list of processes."""
        arguments = {**databases.arguments(url or self.url), "connect_timeout": 5}
        secret = {"PGPASSWORD": password} if (password := arguments.pop("password", None)) else {}
        command = [tool, *options, "--dbname", make_dsn(**arguments)]
        with tempfile.TemporaryFile() as said, subprocess.Popen(command, env=os.environ | secret, stderr=said, **pipes) as program:
            try:
                yield program
            except BaseException:
                program.kill()
                raise
            if program.wait() != 0:
                said.seek(0)
                raise EngineUnavailable(f"{tool} failed: {first_line(said) or f'exit {program.returncode}'}")

    def check_tools(self) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise EngineUnavailable(f"{' and '.join(missing)} cannot be found: install PostgreSQL's client programs on this machine.")

    def examine_engine(self) -> Sequence[Finding]:
        try:
            self.check_tools()
        except EngineUnavailable as error:
            return [Finding("backup engine", False, error.message, "apt-get install postgresql-client")]
        try:
            return [Finding("backup engine", True, f"pg_dump, full backups only; the database has {self.database_bytes() / 1e6:,.1f} MB")]
        except SQLAlchemyError:
            return [Finding("backup engine", False, "the database does not answer", "Look at DATABASE_URL")]


@contextmanager
def connected(url: URL, **options: Any) -> Iterator[Connection]:
    database: Database = create_engine(url, hide_parameters=True, connect_args={"connect_timeout": 5}, **options)
    event.listen(database, "connect", databases.take_time)
    try:
        with database.connect() as connection:
            yield connection
    finally:
        database.dispose()


def without_what_needs_a_superuser(source: URL, target: URL) -> list[str]:
    """What pg_dump is told to leave out, since the role of the target cannot make it: a superuser's own, beside the portal's tables."""
    with connected(target) as connection:
        role, superuser = connection.execute(text("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")).one()
        trusted = set(connection.scalars(text("SELECT name FROM pg_available_extension_versions v WHERE to_jsonb(v)->>'trusted' = 'true'")))
    if superuser:
        return []
    with connected(source) as connection:
        extensions = set(connection.scalars(text("SELECT extname FROM pg_extension")))
        of_others = text("SELECT count(*) FROM pg_publication p JOIN pg_roles r ON r.oid = p.pubowner WHERE r.rolname <> :role")
        published = connection.scalar(of_others, {"role": role})
    allowed = [f'--extension="{name}"' for name in sorted(extensions & (trusted | {"plpgsql"}))] if extensions - trusted else []
    return ["--no-subscriptions", *(["--no-publications"] if published else []), *allowed]


def contents(connection: Connection, progress: Progress) -> Tables:
    """How many rows each table has, and a digest of them that depends neither on their order nor on the settings of the server."""
    found = {}
    for setting in ("TimeZone TO UTC", "DateStyle TO ISO", "IntervalStyle TO postgres", "bytea_output TO hex", "extra_float_digits TO 1"):
        connection.execute(text(f"SET LOCAL {setting}"))
    for name in connection.scalars(text(TABLES)).all():
        progress(5, f"Reading {name}")
        question = text(f'SELECT count(*), coalesce(sum(hashtextextended("{name}"::text, 0)), 0) FROM "{name}"')
        try:
            rows, total = connection.execute(question).one()
        except ProgrammingError as error:
            if isinstance(error.orig, errors.InsufficientPrivilege):
                raise EngineUnavailable(f"The portal's role may not read the table {name}: GRANT SELECT ON {name} TO it.") from None
            raise
        found[name] = (rows, hashlib.sha256(f"{rows}:{total}".encode()).hexdigest()[:32])
    return found


TABLES = """
    SELECT relname FROM pg_class c
    WHERE pg_table_is_visible(oid) AND relnamespace <> 'pg_catalog'::regnamespace AND relkind IN ('r', 'p') AND relpersistence = 'p'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    ORDER BY relname
"""
"""Those that are found by their names alone, as the portal finds its own; but neither what an extension brings along, nor what
PostgreSQL itself empties after a crash."""
Tables = dict[str, tuple[int, str]]


@contextmanager
def being_read(connection: Connection) -> Iterator[Callable[[Callable[[], None]], Tables]]:
    """Reads in a thread of its own, so that other things can be done meanwhile; what it yields waits for the end, and tells that it does.

    Whatever ends the block before ends the reading as well.
    """
    stopped = Event()

    def told(percent: float, stage: str) -> None:
        if stopped.is_set():
            raise CancelledError

    with ThreadPoolExecutor(1, "reading") as pool:
        reading = pool.submit(contents, connection, told)

        def result(tick: Callable[[], None]) -> Tables:
            while not wait([reading], TICK).done:
                tick()
            return reading.result()

        try:
            yield result
        finally:
            stopped.set()
            if not reading.done():
                driver: Any = connection.connection.driver_connection
                driver.cancel()


def check_contents(manifest: Manifest, found: Mapping[str, tuple[int, str]]) -> None:
    tables = {*manifest.row_counts, *found}
    differing = sorted(table for table in tables if found.get(table) != (manifest.row_counts.get(table), manifest.contents.get(table)))
    if differing:
        raise BackupCorrupt(f"Restored again, these tables are not what they were: {', '.join(differing)}.")


def first_line(stream: IO[bytes]) -> str:
    lines = stream.read().decode("utf-8", "replace").splitlines()
    return next((line for line in lines if line.strip()), "")[:300]
