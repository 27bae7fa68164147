"""What is known of a backup: one JSON document beside its files, so that it can be read without the database."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.backups.errors import BackupCorrupt, made_with_another

FORMAT = 1
FINGERPRINT = re.compile("[0-9a-f]{16}")


class BackupType(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


class Engine(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass(frozen=True)
class StoredFile:
    """One file of a backup as it is stored: `sha256` is over what is on disk, encrypted where it is."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Verification:
    """That the backup was put together again from its stored files and compared with the snapshot."""

    at: datetime
    ok: bool
    what: str


@dataclass(frozen=True)
class Manifest:
    """`snapshot_at` is the moment whose state the backup holds: all that was committed before it. `effective_type` differs from `type`
    where an incremental one had no parent to stand on, and `note` says why. `snapshot_sha256` is over the database file or the dump."""

    id: UUID
    type: BackupType
    effective_type: BackupType
    engine: Engine
    started_at: datetime
    snapshot_at: datetime
    finished_at: datetime
    schema_revision: str
    app_version: str
    engine_version: str
    database_bytes: int
    snapshot_sha256: str
    files: tuple[StoredFile, ...]
    row_counts: dict[str, int]
    audit_sequence: int
    audit_hash: str
    parent_id: UUID | None = None
    description: str | None = None
    created_by: str = ""
    job_id: UUID | None = None
    key_fingerprint: str | None = None
    page_size: int | None = None
    pages: int | None = None
    contents: dict[str, str] = field(default_factory=dict)  # a digest of each table's rows, where the whole has no digest of its own
    archive: dict[str, Any] | None = None  # where in the archive of changes it stands, for whoever goes on from it to a later moment
    uploads: dict[str, Any] | None = None  # what of the storage is in it; None: nothing
    note: str | None = None
    verified: Verification | None = None
    format: int = field(default=FORMAT)

    @property
    def stored_bytes(self) -> int:
        return sum(file.bytes for file in self.files) + int((self.archive or {}).get("bytes", 0))

    @property
    def encrypted(self) -> bool:
        return self.key_fingerprint is not None

    @property
    def duration_seconds(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()

    def with_verification(self, ok: bool, what: str, at: datetime) -> Manifest:
        return replace(self, verified=Verification(at, ok, what))

    def file(self, name: str) -> StoredFile:
        for file in self.files:
            if file.name.split(".", 1)[0] == name:
                return file
        raise BackupCorrupt(f"The backup's manifest names no file {name!r}.")


def write(manifest: Manifest, key: bytes) -> bytes:
    """The document, signed with the key, so that a changed one is told from ours."""
    facts = plain(asdict(manifest))
    return json.dumps({**facts, "signature": signature(facts, key)}, indent=1).encode() + b"\n"


def read(document: bytes, key: bytes, fingerprint: str | None) -> Manifest:
    """The manifest in the document. Raises BackupCorrupt if it is not exactly what was written, BackupKeyMismatch where that is to be
    expected, since it names another key than ours, which has that fingerprint."""
    try:
        facts = json.loads(document)
        signed = facts.pop("signature")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise BackupCorrupt("The backup's manifest cannot be read: it was cut or written over.") from None
    if not isinstance(signed, str) or not hmac.compare_digest(signed.encode(), signature(facts, key).encode()):
        if names_another(facts, fingerprint):
            raise made_with_another(facts.get("key_fingerprint"))
        raise BackupCorrupt("The backup's manifest was changed, or was signed with another key than BACKUP_KEY_FILE holds.")
    if facts.get("format") != FORMAT:
        raise BackupCorrupt(f"The backup's manifest has format {facts.get('format')!r}; this version of the portal reads {FORMAT}.")
    return built(facts)


def signature(facts: dict[str, Any], key: bytes) -> str:
    canonical = json.dumps(facts, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, UUID | StrEnum):
        return str(value)
    return value


def names_another(facts: dict[str, Any], fingerprint: str | None) -> bool:
    """What pgBackRest stores is encrypted with a passphrase of its own, which signs nothing."""
    named, archive = facts.get("key_fingerprint"), facts.get("archive")
    if isinstance(archive, dict) and archive.get("tool"):
        return False
    return named != fingerprint and (named is None or bool(isinstance(named, str) and FINGERPRINT.fullmatch(named)))


def built(facts: dict[str, Any]) -> Manifest:
    found = {each.name: facts[each.name] for each in fields(Manifest) if each.name in facts or each.default is MISSING}
    verified = found["verified"]
    return Manifest(
        **found
        | {name: UUID(found[name]) if found[name] else None for name in ("id", "parent_id", "job_id")}
        | {name: datetime.fromisoformat(found[name]) for name in ("started_at", "snapshot_at", "finished_at")}
        | {
            "type": BackupType(found["type"]),
            "effective_type": BackupType(found["effective_type"]),
            "engine": Engine(found["engine"]),
            "files": tuple(StoredFile(**file) for file in found["files"]),
            "verified": verified and Verification(datetime.fromisoformat(verified["at"]), verified["ok"], verified["what"]),
        }
    )
