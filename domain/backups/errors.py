"""What a backup may be refused for, or fail with."""

from __future__ import annotations

from domain.errors import Conflict, DomainError, NotFound


class BackupNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no backup with this id.")


class OperationInProgress(Conflict):
    """One backup or restore at a time."""

    code, settled = "OPERATION_IN_PROGRESS", False

    def __init__(self) -> None:
        super().__init__("A backup or restore runs already: wait until it has ended, or cancel it.")


class BackupCorrupt(Conflict):
    code, settled = "BACKUP_CORRUPT", False


class BackupKeyMismatch(Conflict):
    code, settled = "BACKUP_KEY_MISMATCH", False


def made_with_another(fingerprint: str | None) -> BackupKeyMismatch:
    if fingerprint is None:
        return BackupKeyMismatch("The backup was made without a key: unset BACKUP_KEY_FILE to open it.")
    return BackupKeyMismatch(
        "The backup was made with another key than BACKUP_KEY_FILE holds: set it to the file with the key "
        f"whose fingerprint is {fingerprint}."
    )


class EngineMismatch(DomainError):
    status, code = 422, "ENGINE_MISMATCH"


class IncrementalNotSupported(DomainError):
    status, code = 422, "INCREMENTAL_NOT_SUPPORTED"


class SchemaNewer(DomainError):
    """The backup was made by a newer version of the portal than this one."""

    status, code = 422, "BACKUP_SCHEMA_NEWER"


class PitrNotSupported(DomainError):
    status, code = 422, "PITR_NOT_SUPPORTED"


class PitrOutOfRange(DomainError):
    """Before the first backup, or after the last moment that was kept."""

    status, code = 422, "PITR_OUT_OF_RANGE"


class TargetBeforeBackup(DomainError):
    status, code = 422, "TARGET_BEFORE_BACKUP"


class PitrGap(Conflict):
    """Nothing was kept of that time: the archiver did not run, or a piece of what it kept is gone."""

    code, settled = "PITR_GAP", False


class EngineUnavailable(DomainError):
    status, code = 503, "BACKUP_ENGINE_UNAVAILABLE"


class DatabaseDamaged(Conflict):
    """The portal's own database is, so no copy of it is worth keeping, and not all of it can be carried into what is restored."""

    code, settled = "DATABASE_DAMAGED", False

    def __init__(self, said: str) -> None:
        said = " ".join(said.split())
        super().__init__(
            f"The portal's database itself is damaged ({said}). What SQLite can still read of it comes over by "
            "sqlite3 OLD .recover | sqlite3 NEW; a verified backup comes back by flask backup restore."
        )


class InsufficientStorage(DomainError):
    status, code = 507, "INSUFFICIENT_STORAGE"


class FolderUnusable(DomainError):
    """BACKUP_DIR is not there and cannot be made, belongs to another user, or is on a disk that takes no writes any more."""

    status, code = 503, "BACKUP_DIR_UNUSABLE"

    def __init__(self, folder: object, reason: str | None):
        super().__init__(
            f"BACKUP_DIR ({folder}) cannot be used: {reason}. Let the portal's user write there, and see whether its disk is well."
        )


class UploadsUnreadable(DomainError):
    """The storage, or a file in it, cannot be read: a backup without it would not be the one that was asked for."""

    status, code = 503, "UPLOADS_UNREADABLE"
