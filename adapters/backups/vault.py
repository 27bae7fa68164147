"""What every kind of backup has in common: one at a time, all or nothing, checked before it counts, old ones removed."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import psycopg2
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from adapters.backups import lock
from adapters.backups.catalog import Catalog
from adapters.backups.lock import FULL_DISK
from adapters.backups.sealing import Key, check_stored, signing_key
from adapters.backups.sources import make_source
from adapters.backups.uploads import Look, Uploads
from domain.backups.errors import (
    BackupCorrupt,
    BackupKeyMismatch,
    BackupNotFound,
    DatabaseDamaged,
    EngineMismatch,
    EngineUnavailable,
    FolderUnusable,
    InsufficientStorage,
    OperationInProgress,
    PitrNotSupported,
    TargetBeforeBackup,
    UploadsUnreadable,
    made_with_another,
)
from domain.backups.manifest import BackupType, Engine, Manifest
from domain.backups.retention import surplus
from domain.backups.standing import restorable
from domain.backups.vault import Archiving, Finding, Part, Progress, Rebuilt, Span, UploadsReport, Wish
from domain.db import now
from domain.errors import DomainError
from domain.storage import Storage

log = logging.getLogger(__name__)

FULL_SQLITE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # a quota, or a limit on files
    sqlite3.SQLITE_IOERR_SHMSIZE,  # nor room for the index of the log, which whoever opens the database first makes
)
SPARE = 1.2
LONGEST_CHAIN = 30
OLD = timedelta(hours=26)
PARTS = {"uploads": Part.UPLOADS, "wal": Part.ARCHIVE, "restores": Part.REPLACED}
LACKING = "Without the files of the storage:"


class FolderVault(ABC):
    """Backups in a folder. A subclass makes them and puts them together again."""

    engine: Engine
    safety = BackupType.FULL
    """What is made of the live data right before a restore."""

    def __init__(self, folder: Path, key: Key | None, app_version: str):
        self.folder, self.key, self.app_version = folder, key, app_version
        self.catalog = Catalog(folder, signing_key(key), key.fingerprint if key else None)
        self.uploads: Uploads | None = None

    def with_uploads(self, storage: Storage) -> Self:
        """Whose files are part of the backups that ask for them."""
        self.uploads = Uploads(make_source(storage, self.folder), self.folder, self.key)
        return self

    @abstractmethod
    def database_bytes(self) -> int: ...

    @abstractmethod
    def bytes_needed(self) -> int:
        """What making a backup takes up at most, with the copies it is made from and checked with."""

    @abstractmethod
    def make(self, wish: Wish, parent: Manifest | None, draft: Path, progress: Progress) -> Manifest:
        """Make the files of a backup in the folder, check them, and answer the manifest."""

    @abstractmethod
    def check(self, manifest: Manifest, work: Path, progress: Progress) -> str:
        """Put the backup together again from what is stored and compare; answers what was compared. Raises BackupCorrupt."""

    @abstractmethod
    def stage(self, manifest: Manifest, moment: datetime | None, url: str, progress: Progress) -> datetime: ...

    def coverage(self) -> Sequence[Span]:
        return [Span(each.snapshot_at, each.snapshot_at) for each in reversed(restorable(self.list()))]

    def archiving(self) -> Archiving | None:
        return None

    def lacks_base(self) -> bool:
        return False

    def check_moment(self, manifest: Manifest, moment: datetime | None) -> None:
        self.check_fit(manifest)
        if moment is None or moment == manifest.snapshot_at:
            return
        if moment < manifest.snapshot_at:
            raise TargetBeforeBackup("The backup was made after that moment: name an earlier backup.", snapshot_at=manifest.snapshot_at)
        raise PitrNotSupported("Only what backups themselves hold can be reached here: leave out target_timestamp to restore the backup.")

    def check_readable(self, manifest: Manifest, moment: datetime | None, progress: Progress) -> None:
        """Read all of the database that restoring the backup as of the moment would read; raise unless it is what was stored."""
        for each in self.chain(manifest):
            progress(0, "Checking its files")
            self.check_stored(each)

    def check_lacking(self, manifest: Manifest, progress: Progress) -> None:
        """The same for the files of the storage: those that it lacks, which a restore would bring back."""
        if manifest.uploads is None:
            return
        assert self.uploads is not None, "the vault was made without a storage"
        with self.catalog.unfinished(manifest.id) as work:
            self.uploads.check_lacking(manifest, self.catalog.files(manifest.id), work, progress)

    @abstractmethod
    def examine_engine(self) -> Sequence[Finding]: ...

    def list(self) -> Sequence[Manifest]:
        return self.catalog.list()

    def damaged(self) -> Sequence[str]:
        return self.catalog.damaged()

    def get(self, backup_id: UUID) -> Manifest:
        return self.catalog.get(backup_id)

    def busy(self) -> bool:
        return lock.is_held(self.folder)

    def check_wish(self, wish: Wish) -> None:
        if self.busy():
            raise OperationInProgress
        self.check_space()

    def check_space(self, uploads: int = 0) -> None:
        need, free = int((self.bytes_needed() + uploads) * SPARE), self.free_bytes()
        if free < need:
            raise InsufficientStorage(
                f"A backup needs {megabytes(need)} MB free in BACKUP_DIR, and {megabytes(free)} MB are: free some, or remove old backups.",
                need=need,
                free=free,
            )

    def free_bytes(self) -> int:
        lock.check_writable(self.folder)
        return shutil.disk_usage(self.folder).free

    def sizes(self) -> Iterator[tuple[Part, int]]:
        for folder, _, names in os.walk(self.folder):
            within = Path(folder).relative_to(self.folder).parts
            part = PARTS.get(within[0], Part.BACKUPS) if within else Part.BACKUPS
            for name in names:
                with suppress(OSError):  # removed a moment ago
                    yield part, os.lstat(f"{folder}/{name}").st_size

    def one_operation(self) -> AbstractContextManager[None]:
        """Hold the lock that one backup or restore at a time may have. Raises OperationInProgress."""
        return lock.one_operation(self.folder)

    def create(self, wish: Wish, progress: Progress) -> Manifest:
        """Make the backup. Whatever stops it, what is left is either the whole backup or nothing. One that is there already was made by a
        worker that died, or lost its database, before it could say so."""
        with self.one_operation():
            with suppress(BackupNotFound):
                return self.get(wish.id)
            return self.create_alone(wish, progress)

    def create_alone(self, wish: Wish, progress: Progress, *, removing: bool = True) -> Manifest:
        """The same for whoever holds the lock already; without `removing` what retention no longer keeps stays for now."""
        with full_disk_said(), lost_database_said():
            self.remove_rests()
            progress(2, "Checking space")
            self.check_space()
            with self.catalog.unfinished(wish.id) as draft:
                look, lacking = self.look_if_wanted(wish, draft)
                parent, note = self.parent_for(wish)
                manifest = self.make(wish, parent, draft, part(progress, 0, 75) if look else progress)
                if look is not None:
                    manifest, lacking = self.keep_if_possible(wish, look, manifest, draft, part(progress, 75, 97))
                manifest = replace(manifest, note=" ".join(filter(None, (note, lacking))) or None)
                progress(98, "Entering it in the catalog")
                if look is not None and manifest.uploads is not None:
                    look.place()
                self.catalog.keep(draft, manifest)
            if removing:
                try:
                    self.remove_old()
                except OSError as error:  # the backup that was just made is no worse for it
                    log.warning("old backups stay for now: %s", error)
        return manifest

    def look_if_wanted(self, wish: Wish, draft: Path) -> tuple[Look | None, str | None]:
        """None where there is nothing to be kept, with the reason where that was wanted."""
        if not wish.uploads:
            return None, None
        try:
            return self.look_at_uploads(draft), None
        except (InsufficientStorage, UploadsUnreadable) as error:
            if not wish.uploads_if_possible:
                raise
            return None, f"{LACKING} {error.message}"

    def keep_if_possible(self, wish: Wish, look: Look, manifest: Manifest, draft: Path, progress: Progress) -> tuple[Manifest, str | None]:
        """The manifest with the files of the storage; or as it was, with the reason, and nothing of them on disk."""
        try:
            with full_disk_said():
                return self.keep_uploads(look, manifest, draft, progress), None
        except (InsufficientStorage, UploadsUnreadable) as error:
            if not wish.uploads_if_possible:
                raise
            look.give_up()
            return manifest, f"{LACKING} {error.message}"

    def look_at_uploads(self, draft: Path) -> Look:
        """Before the database is copied, to know what there is room for; kept after it, so that each file that it names is there."""
        assert self.uploads is not None, "the vault was made without a storage"
        earlier = next(((each, self.catalog.files(each.id)) for each in self.list() if each.uploads is not None), None)
        look = self.uploads.look(draft, earlier)
        try:
            self.check_space(look.new_bytes)
        except InsufficientStorage:
            look.give_up()
            raise
        return look

    def keep_uploads(self, look: Look, manifest: Manifest, draft: Path, progress: Progress) -> Manifest:
        stored, uploads = look.keep(progress)
        what = f"; stored files: the {uploads['new_count']} new ones of {uploads['count']} read again"
        verified = manifest.verified and replace(manifest.verified, what=manifest.verified.what + what)
        return replace(manifest, files=(*manifest.files, stored), uploads=uploads, verified=verified, finished_at=now())

    def restore_uploads(self, manifest: Manifest, progress: Progress) -> UploadsReport:
        if manifest.uploads is None:
            return UploadsReport()
        assert self.uploads is not None, "the vault was made without a storage"
        with self.catalog.unfinished(manifest.id) as work:
            return self.uploads.restore(manifest, self.catalog.files(manifest.id), work, progress)

    def verify(self, backup_id: UUID, progress: Progress) -> Manifest:
        """Check an earlier backup and the chain it stands on; the manifest keeps what was found. Raises BackupCorrupt."""
        with lock.one_operation(self.folder), full_disk_said(), lost_database_said():
            self.remove_rests()
            manifest = self.get(backup_id)
            with self.catalog.unfinished(backup_id) as work:
                try:
                    what = self.check(manifest, work, progress)
                    if manifest.uploads is not None:
                        assert self.uploads is not None, "the vault was made without a storage"
                        what = f"{what}; {self.uploads.check(manifest, self.catalog.files(backup_id), work, progress)}"
                except BackupCorrupt as error:
                    self.catalog.write(manifest.with_verification(False, error.message, now()))
                    raise
            manifest = manifest.with_verification(True, what, now())
            self.catalog.write(manifest)
        return manifest

    def rebuild_catalog(self) -> Rebuilt:
        """Enter again the backups whose files are there and whose manifest is lost or cannot be read: by the copy among the files, if that
        is signed with our key and speaks of these files."""
        entered, refused = [], {}
        with self.one_operation():
            for name in self.damaged():
                try:
                    manifest = self.catalog.read_copy(UUID(name))
                    self.check_stored(manifest)
                except (BackupNotFound, ValueError):
                    refused[name] = "There is no folder of that name with a copy of the manifest."
                except DomainError as error:
                    refused[name] = error.message
                else:
                    self.catalog.write(manifest)
                    entered.append(manifest)
        return Rebuilt(entered, refused)

    def prune(self, *, dry_run: bool = False) -> Sequence[Manifest]:
        """Remove what retention no longer keeps; answers what that is."""
        with lock.one_operation(self.folder):
            if dry_run:
                return surplus(self.list())
            self.remove_rests()
            return self.remove_old()

    def remove_rests(self) -> None:
        """What an operation that died left behind, also of the storage's files; called while no other runs."""
        if self.catalog.remove_rests():
            self.sweep_uploads()

    def remove_old(self) -> Sequence[Manifest]:
        """A process that dies in between leaves word that there may be stored files without a backup."""
        if not any(manifest.uploads for manifest in self.list()):
            return self.remove_surplus()
        self.unswept.touch()
        removed = self.remove_surplus()
        if any(manifest.uploads for manifest in removed):
            self.sweep_uploads()
        self.unswept.unlink()
        return removed

    @property
    def unswept(self) -> Path:
        return self.folder / "unswept.part"

    def remove_surplus(self) -> Sequence[Manifest]:
        removed = surplus(self.list())
        for manifest in removed:  # children first, so that no chain is ever without its beginning
            self.catalog.remove(manifest.id)
        return removed

    def sweep_uploads(self) -> None:
        """Remove stored files that no backup has any more. While there are backups that cannot be read, nobody knows what they have."""
        if self.uploads is None or self.damaged():
            return
        kept = [(each, self.catalog.files(each.id)) for each in self.list() if each.uploads is not None]
        with self.catalog.unfinished(uuid4()) as work, suppress(BackupCorrupt):
            self.uploads.sweep(kept, work)

    def parent_for(self, wish: Wish) -> tuple[Manifest | None, str | None]:
        """What an incremental backup is to stand on: the newest that can be trusted. Where there is none, why it is to be a full one."""
        if wish.type is BackupType.FULL:
            return None, None
        for manifest in self.list():
            chain = self.trusted_chain(manifest)
            if len(chain) >= LONGEST_CHAIN:
                return None, f"{len(chain)} backups stand on each other already: this one begins anew."
            if chain:
                return manifest, None
        return None, "There was no verified backup that an incremental one could stand on."

    def trusted_chain(self, manifest: Manifest) -> Sequence[Manifest]:
        """The backup and all that it stands on, if it is verified and all of it is there and whole; else nothing."""
        try:
            chain = self.chain(manifest)
            if not all(each.verified and each.verified.ok for each in chain):
                return ()
            for each in chain:
                self.check_stored(each)
        except (BackupCorrupt, BackupKeyMismatch, EngineMismatch):
            return ()
        return chain

    def chain(self, manifest: Manifest) -> Sequence[Manifest]:
        """The backup and all that it stands on, the full one first."""
        chain = [manifest]
        while chain[0].parent_id is not None:
            try:
                chain.insert(0, self.get(chain[0].parent_id))
            except BackupNotFound:
                message = f"The backup stands on {chain[0].parent_id}, which is not there."
                raise BackupCorrupt(message) from None
        return chain

    @property
    def fingerprint(self) -> str | None:
        return None if self.key is None else self.key.fingerprint

    def check_stored(self, manifest: Manifest) -> None:
        """Raise unless the key is the one it was made with and each stored file is what it was: it reads them all."""
        self.check_fit(manifest)
        for stored in manifest.files:
            check_stored(self.catalog.files(manifest.id) / stored.name, stored)

    def check_fit(self, manifest: Manifest) -> None:
        """Raise unless it is of this engine and made with this key."""
        if manifest.engine is not self.engine:
            raise EngineMismatch(f"This is a backup of {manifest.engine}, and the portal runs on {self.engine}.")
        if manifest.key_fingerprint != self.fingerprint:
            raise made_with_another(manifest.key_fingerprint)

    def examine(self) -> Sequence[Finding]:
        """What backups need, for `flask backup check` and `flask doctor`."""
        return [*self.examine_engine(), self.examine_key(), self.examine_space(), self.examine_newest()]

    def examine_key(self) -> Finding:
        if self.key is None:
            return Finding("backup key", False, "backups are not encrypted", "Make a key: flask backup key FILE, and set BACKUP_KEY_FILE")
        return Finding("backup key", True, f"backups are encrypted with age, key {self.fingerprint}")

    def examine_space(self) -> Finding:
        try:
            self.check_space()
        except InsufficientStorage as error:
            return Finding("backup space", False, error.message, "Free some, or set BACKUP_DIR to a larger disk")
        except FolderUnusable as error:
            return Finding("backup space", False, error.message, "Until then nothing is backed up")
        return Finding("backup space", True, f"{megabytes(self.free_bytes())} MB free in BACKUP_DIR")

    def examine_newest(self) -> Finding:
        verified = next(iter(restorable(self.list())), None)
        if damaged := self.damaged():
            advice = "Run flask backup catalog rebuild; what it refuses, move away"
            return Finding("backups", False, f"{len(damaged)} cannot be read ({damaged[0]}...)", advice)
        if verified is None:
            return Finding("backups", False, "there is no verified one", "Make one: flask backup create")
        age = now() - verified.snapshot_at
        found = f"the newest verified one is {round(age.total_seconds() / 3600, 1):g} hours old"
        return Finding("backups", age <= OLD, found, "" if age <= OLD else "Make one, and look why none was made: flask backup create")


def part(progress: Progress, first: float, last: float) -> Progress:
    """What goes from 0 to 100, as a part of the whole."""
    return lambda percent, stage: progress(first + (last - first) * percent / 100, stage)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"


@contextmanager
def full_disk_said() -> Iterator[None]:
    """A disk that runs full in the middle is said as one that was too small from the beginning."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if not tells_of_a_full_disk(error):
            raise
        raise InsufficientStorage(TOOK_NO_MORE) from None


TOOK_NO_MORE = "The disk ran full, or took no more for another reason, and nothing half done is left. Free some space and try again."


def tells_of_a_full_disk(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in FULL_SQLITE
    return isinstance(error, OSError) and error.errno in FULL_DISK


DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def damage_said() -> Iterator[None]:
    """A database that SQLite cannot read any more, met by its driver or through SQLAlchemy."""
    try:
        yield
    except (sqlite3.DatabaseError, DatabaseError) as error:
        met = getattr(error, "orig", error)
        if getattr(met, "sqlite_errorcode", 0) & 0xFF not in DAMAGE:
            raise
        raise DatabaseDamaged(str(met)) from None


@contextmanager
def lost_database_said() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if tells_of_a_full_disk(error.orig):
            raise InsufficientStorage(TOOK_NO_MORE) from None
        raise lost(error.orig) from None
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise lost(error) from None


def lost(error: BaseException | None) -> EngineUnavailable:
    reason = str(error).strip().partition("\n")[0]
    return EngineUnavailable(f"The database went away ({reason}). What was half done does not count: try again.")
