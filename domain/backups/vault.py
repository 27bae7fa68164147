"""What the domain asks of whatever makes and keeps backups; `adapters/backups` answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.backups.manifest import BackupType, Engine, Manifest

Progress = Callable[[float, str], None]
"""Told per cent and stage, often; raises to stop."""


@dataclass(frozen=True)
class Wish:
    """A backup that somebody asks for. `uploads_if_possible`: where there is no room for the files of the storage, or they cannot be read,
    it is made without them, and its note says why."""

    id: UUID
    type: BackupType
    description: str | None
    created_by: str
    job_id: UUID | None = None
    uploads: bool = False  # the files of the storage too
    uploads_if_possible: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that backups need, and whether it is there; `advice` says what to do where it is not."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Span:
    """Moments that can be reached, the first and the last among them; a backup alone reaches its own, a span of no length."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Rebuilt:
    """What was entered in the catalog again, and what could not be: the name of the folder, and why."""

    entered: Sequence[Manifest]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Archiving:
    """Whether somebody keeps what changes between backups, and until when all of it is kept."""

    running: bool
    until: datetime | None


class Part(StrEnum):
    """What takes up room in BACKUP_DIR."""

    BACKUPS = "backups"
    UPLOADS = "uploads"  # contents of stored files, each once for all backups
    ARCHIVE = "archive"  # what changed between backups
    REPLACED = "replaced"  # what restores replaced, for as long as it can be put back


@dataclass(frozen=True)
class UploadsReport:
    """What a restore did with the files of the storage. `changed` are there with another content, and stay; `missing` are not there and
    could not be brought back. The counts are exact, the names the first twenty of each. `problem`: what stopped it, if anything."""

    added: int = 0
    added_bytes: int = 0
    same: int = 0
    changed: int = 0
    missing: int = 0
    changed_names: Sequence[str] = ()
    missing_names: Sequence[str] = ()
    problem: str | None = None


class Vault(Protocol):
    engine: Engine

    def list(self) -> Sequence[Manifest]:
        """All backups, newest first. One whose manifest cannot be trusted is left out; `damaged` names it."""

    def damaged(self) -> Sequence[str]: ...

    def get(self, backup_id: UUID) -> Manifest:
        """Raises BackupNotFound or BackupCorrupt."""

    def check_wish(self, wish: Wish) -> None:
        """Raise what speaks against it before anything is begun: engine, space, another operation."""

    def one_operation(self) -> AbstractContextManager[None]:
        """Hold the lock that one backup or restore at a time may have. Raises OperationInProgress."""

    def create(self, wish: Wish, progress: Progress) -> Manifest: ...

    def create_alone(self, wish: Wish, progress: Progress, *, removing: bool = True) -> Manifest:
        """The same for whoever holds that lock already; without `removing` what retention no longer keeps stays for now."""

    def verify(self, backup_id: UUID, progress: Progress) -> Manifest: ...

    def coverage(self) -> Sequence[Span]:
        """The moments that can be reached, oldest first, none twice."""

    def archiving(self) -> Archiving | None:
        """None: nothing is kept between backups."""

    def lacks_base(self) -> bool:
        """Whether what changes is kept and yet of no use, since no backup stands where it begins: then one should be made."""

    def check_moment(self, manifest: Manifest, moment: datetime | None) -> None:
        """Raise what speaks against restoring the backup as of the moment (None: its own), as far as that is known without reading it
        all: TargetBeforeBackup, PitrOutOfRange, PitrGap, PitrNotSupported, EngineMismatch, BackupKeyMismatch."""

    def stage(self, manifest: Manifest, moment: datetime | None, url: str, progress: Progress) -> datetime:
        """Write the database as it was at the moment (None: the backup's own) into the one at the URL: a file that is not there yet, or
        an empty database. Answers the moment that was reached, never later than asked. Call while one operation runs."""

    def restore_uploads(self, manifest: Manifest, progress: Progress) -> UploadsReport:
        """Bring back the files of the storage that the backup has and that are not there: nothing is removed or written over. Refuses
        nothing; what went wrong is in the report. Progress is from 0 to 100. Call while one operation runs."""

    def rebuild_catalog(self) -> Rebuilt:
        """Enter again the backups whose files are there and whose manifest is lost or cannot be read."""

    def prune(self, *, dry_run: bool = False) -> Sequence[Manifest]: ...

    def sizes(self) -> Iterator[tuple[Part, int]]:
        """How large each file in BACKUP_DIR is: there may be a million."""

    def database_bytes(self) -> int: ...

    def examine(self) -> Sequence[Finding]: ...

    def busy(self) -> bool:
        """Whether a backup or restore runs now, in whatever process."""
