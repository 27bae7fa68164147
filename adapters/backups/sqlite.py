"""Backups of SQLite: the online backup API under one read transaction, and incremental ones by changed pages.

The copy is of one moment, and nobody waits for it: writers go on in the write-ahead log. A copy in steps without the read transaction
would begin anew at each commit of another connection; `cp` of the file under writers is damaged more often than not.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from adapters.backups.archive.position import pin
from adapters.backups.archive.reaching import Archive
from adapters.backups.archive.store import Store
from adapters.backups.archive.wal import Position
from adapters.backups.pages import HASH_BYTES, READ_AT_ONCE, ChangedPages, HashedPages, PageWriter, Tick
from adapters.backups.sealing import THREADS, Key, Sealed, seal, unseal
from adapters.backups.vault import FolderVault
from domain.backups.errors import BackupCorrupt, DatabaseDamaged, EngineMismatch, EngineUnavailable
from domain.backups.manifest import BackupType, Engine, Manifest, Verification
from domain.backups.vault import Archiving, Finding, Progress, Span, Wish
from domain.db import address_of, now

COPIED_AT_ONCE = 1000  # pages
COPIES = 2  # of the database, on disk while a backup is made: the snapshot, and what is put together again to compare
STORED = 0.7  # of the database, at most, for what is kept


class SqliteVault(FolderVault):
    engine = Engine.SQLITE

    def __init__(self, folder: Path, key: Key | None, app_version: str, database: Path):
        super().__init__(folder, key, app_version)
        self.database = database
        self.archive = Archive(Store(folder, key), self)

    @property
    def hash_key(self) -> bytes:
        return b"" if self.key is None else self.key.signing

    def database_bytes(self) -> int:
        """Never by opening the file beside SQLite: closing it would drop the locks of this process's own connections."""
        with closing(self.connect()) as connection:
            return pragma(connection, "page_count") * pragma(connection, "page_size")

    def bytes_needed(self) -> int:
        return int(self.database_bytes() * (COPIES + STORED))

    def trusted_chain(self, manifest: Manifest) -> Sequence[Manifest]:
        with closing(self.connect()) as connection:
            same = pragma(connection, "page_size") == manifest.page_size
        return super().trusted_chain(manifest) if same else ()

    def connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(address_of(self.database, "mode=rw"), uri=True, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise EngineUnavailable(f"The database cannot be opened: {error}.") from None

    def make(self, wish: Wish, parent: Manifest | None, draft: Path, progress: Progress) -> Manifest:
        started_at = now()
        snapshot = draft / "snapshot.db"
        snapshot_at, position = self.copy(snapshot, progress)
        if (said := check_structure(snapshot)) != "ok":
            raise DatabaseDamaged(said)
        facts = read_facts(snapshot)
        hashes = draft / "hashes"
        told = ticking(progress, 40, 75, "Storing", facts.pages * facts.page_size)
        data, sha256 = self.store(snapshot, hashes, facts, parent, draft, told)
        with hashes.open("rb") as file:
            stored_hashes = seal(file, draft, "hashes", self.key).stored
        snapshot.unlink()
        hashes.unlink()
        manifest = Manifest(
            id=wish.id,
            type=wish.type,
            effective_type=BackupType.FULL if parent is None else BackupType.INCREMENTAL,
            engine=self.engine,
            started_at=started_at,
            snapshot_at=snapshot_at,
            finished_at=now(),
            schema_revision=facts.schema_revision,
            app_version=self.app_version,
            engine_version=sqlite3.sqlite_version,
            database_bytes=facts.pages * facts.page_size,
            snapshot_sha256=sha256,
            files=(data.stored, stored_hashes),
            row_counts=facts.row_counts,
            audit_sequence=facts.audit_sequence,
            audit_hash=facts.audit_hash,
            parent_id=None if parent is None else parent.id,
            description=wish.description,
            created_by=wish.created_by,
            job_id=wish.job_id,
            key_fingerprint=self.fingerprint,
            page_size=facts.page_size,
            pages=facts.pages,
            archive={"log": position.plain()} if position else None,
        )
        return self.checked(manifest, draft, progress)

    def checked(self, manifest: Manifest, draft: Path, progress: Progress) -> Manifest:
        """The manifest with its verification: what was just stored is put together again before it is kept."""
        what = self.compare(manifest, {manifest.id: draft}, draft, progress)
        done = now()
        return replace(manifest, finished_at=done, verified=Verification(done, True, what))

    def copy(self, target: Path, progress: Progress) -> tuple[datetime, Position | None]:
        """Write the database, as it is at one moment, to the target; answers the moment, and its place in the log."""

        def told(_status: int, left: int, total: int) -> None:
            progress(5 + 35 * (total - left) / max(total, 1), "Copying the database")

        with closing(self.connect()) as source, closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous=OFF")  # a copy that a crash spoils is thrown away
            moment, position = pin(source, self.database, archived=self.archive.store.newest() is not None)
            source.backup(copy, pages=COPIED_AT_ONCE, progress=told, sleep=0)
            source.execute("ROLLBACK")
        return moment, position

    def store(self, snapshot: Path, hashes: Path, facts: Facts, parent: Manifest | None, draft: Path, tick: Tick) -> tuple[Sealed, str]:
        """Store the snapshot, or what changed since the parent, and write the hash of each page aside; answers the snapshot's SHA-256."""
        if parent is None:
            with snapshot.open("rb") as file, hashes.open("wb") as aside:
                sealed = seal(HashedPages(file, facts.page_size, self.hash_key, aside), draft, "database", self.key, tick, threads=THREADS)
            return sealed, sealed.sha256
        before = draft / "hashes-before"
        with before.open("wb") as file:
            unseal(self.catalog.files(parent.id), parent.file("hashes"), file, self.key)
        if before.stat().st_size != (parent.pages or 0) * HASH_BYTES:
            raise BackupCorrupt("The page hashes of the backup it would stand on are not whole.")
        with snapshot.open("rb") as file, hashes.open("wb") as aside, before.open("rb") as then:
            changed = ChangedPages(file, facts.page_size, self.hash_key, aside, then, tick)
            sealed = seal(changed, draft, "pages", self.key, threads=THREADS)
        before.unlink()
        return sealed, changed.whole.hexdigest()

    def check(self, manifest: Manifest, work: Path, progress: Progress) -> str:
        what = self.compare(manifest, {}, work, progress, structure=True)
        progress(94, "Reading what goes on from it")
        return what + self.archive.check(manifest)

    def compare(self, manifest: Manifest, elsewhere: dict[object, Path], work: Path, progress: Progress, *, structure: bool = False) -> str:
        again = work / "again.db"
        try:
            self.put_together(manifest, again, elsewhere, progress)
            progress(90, "Comparing")
            compare_bytes(manifest, again, progress)
            if structure and (said := check_structure(again)) != "ok":
                raise BackupCorrupt(f"The database in the backup is damaged itself: {said}")
        finally:
            again.unlink(missing_ok=True)
        return "put together again from what is stored, and equal to the snapshot byte by byte"

    def stage(self, manifest: Manifest, moment: datetime | None, url: str, progress: Progress) -> datetime:
        target = Path(make_url(url).database or "")
        way = self.archive.way_to(manifest, moment)
        self.put_together(way.manifest, target, {}, progress, checked=way.base is not None)
        compare_bytes(way.manifest, target, progress)  # whoever makes it live checks what it has become by then
        return way.go(target, progress)

    def coverage(self) -> Sequence[Span]:
        return self.archive.coverage()

    def archiving(self) -> Archiving:
        return self.archive.archiving()

    def lacks_base(self) -> bool:
        return self.archive.lacks_base()

    def check_moment(self, manifest: Manifest, moment: datetime | None) -> None:
        way = self.archive.way_to(manifest, moment, reading_all=False)
        with closing(self.connect()) as live:
            size = pragma(live, "page_size")
        if way.manifest.page_size != size:
            raise EngineMismatch(
                f"The backup's pages have {way.manifest.page_size} bytes and the database's {size}: stop the portal, set"
                f" PRAGMA journal_mode=DELETE and PRAGMA page_size={way.manifest.page_size}, VACUUM the database, and restore then."
            )

    def check_readable(self, manifest: Manifest, moment: datetime | None, progress: Progress) -> None:
        progress(0, "Checking its files")
        way = self.archive.way_to(manifest, moment)
        if way.base is None:
            super().check_readable(way.manifest, None, progress)

    def remove_surplus(self) -> Sequence[Manifest]:
        removed = super().remove_surplus()
        self.archive.prune()
        return removed

    def put_together(
        self, manifest: Manifest, target: Path, elsewhere: dict[object, Path], progress: Progress, *, checked: bool = False
    ) -> None:
        """Write the database as the backup has it. `elsewhere`: where the files of backups are that are not in the catalog yet. `checked`:
        what is stored was just read."""
        chain = self.chain(manifest)
        for place, each in enumerate(chain):
            progress(76 + 14 * place / len(chain), f"Putting together {place + 1} of {len(chain)}")
            folder = elsewhere.get(each.id) or self.catalog.files(each.id)
            if each.id not in elsewhere and not checked:
                self.check_stored(each)
            if each.effective_type is BackupType.FULL:
                with target.open("wb") as file:
                    unseal(folder, each.file("database"), file, self.key)
            else:
                with target.open("r+b") as file:
                    writer = PageWriter(file, each.page_size or 0)
                    unseal(folder, each.file("pages"), writer, self.key)
                    writer.end(each.pages or 0)

    def examine_engine(self) -> Sequence[Finding]:
        try:
            size = self.database_bytes()
        except EngineUnavailable as error:
            return [Finding("backup engine", False, error.message, "Look at DATABASE_URL and who owns the file")]
        engine = Finding("backup engine", True, f"SQLite {sqlite3.sqlite_version}, the database has {size / 1e6:,.1f} MB")
        return [engine, self.archive.examine()]


@dataclass(frozen=True)
class Facts:
    page_size: int
    pages: int
    schema_revision: str
    row_counts: dict[str, int]
    audit_sequence: int
    audit_hash: str


def read_facts(snapshot: Path) -> Facts:
    """What is in a copy that nobody writes to: `immutable`, so that reading it makes no files beside it."""
    with closing(sqlite3.connect(address_of(snapshot, "immutable=1"), uri=True)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        ]
        counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(tables)}
        sequence, head = connection.execute("SELECT sequence, hash FROM audit_head").fetchone()
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return Facts(pragma(connection, "page_size"), pragma(connection, "page_count"), revision, counts, sequence, head)


def pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def compare_bytes(manifest: Manifest, database: Path, progress: Progress) -> None:
    whole = hashlib.sha256()
    with database.open("rb") as file:
        while piece := file.read((manifest.page_size or 4096) * READ_AT_ONCE):
            whole.update(piece)
            progress(92, "Comparing")
    if whole.hexdigest() != manifest.snapshot_sha256:
        raise BackupCorrupt("Put together again, the backup is not what was copied.")


def check_structure(database: Path) -> str:
    """What SQLite finds wrong first, or `ok`."""
    with closing(sqlite3.connect(address_of(database, "immutable=1"), uri=True)) as connection:
        try:
            return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return str(error)


def ticking(progress: Progress, first: float, last: float, stage: str, total: int) -> Tick:
    return lambda done: progress(first + (last - first) * min(done / max(total, 1), 1), stage)
