"""Asking for a backup, and noting what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.backups.budget import within_budget
from domain.backups.errors import OperationInProgress
from domain.backups.manifest import BackupType, Manifest
from domain.backups.queries import estimate_seconds, may_see
from domain.backups.vault import Vault, Wish
from domain.jobs.commands import enqueue
from domain.jobs.commands.enqueue import THE_ONE
from domain.jobs.models import Job
from domain.jobs.types import BACKUP, BACKUP_VERIFY


@dataclass(frozen=True)
class Asked:
    job: Job
    estimated_duration_seconds: int


def request_backup(
    session: Session, actor: Actor, vault: Vault, *, backup_type: BackupType, include_uploads: bool, description: str | None
) -> Asked:
    """Ask for a backup: a job makes it. One an hour for the whole installation, not counting those that failed or were cancelled.

    Raises RateLimited, MfaRequired, OperationInProgress, InsufficientStorage, IncrementalNotSupported, EngineUnavailable.
    """
    actor.require(Permission.SYSTEM_BACKUP)
    within_budget(session, BACKUP, "One backup an hour can be asked for, and one was.")
    actor.require_fresh_mfa()
    vault.check_wish(Wish(THE_ONE, backup_type, description, actor.name, uploads=include_uploads))
    metadata: dict[str, Any] = {"backup_type": str(backup_type), "include_uploads": include_uploads, "description": description}
    job = enqueue_the_one(session, BACKUP.name, actor.admin_id, metadata)
    audit.record(session, actor, "backup.requested", job, **metadata)
    return Asked(job, estimate_seconds(vault, backup_type))


def request_verification(session: Session, actor: Actor, vault: Vault, backup_id: UUID) -> Job:
    """Have a backup put together again and compared: a job does it.

    Raises BackupNotFound, BackupCorrupt where its manifest cannot be read, OperationInProgress.
    """
    may_see(actor)
    vault.get(backup_id)
    if vault.busy():
        raise OperationInProgress
    job = enqueue_the_one(session, BACKUP_VERIFY.name, actor.admin_id, {"backup_id": str(backup_id)})
    audit.record(session, actor, "backup.verification_requested", object_type="backups", object_id=backup_id, job_id=job.id)
    return job


def enqueue_the_one(session: Session, type: str, creator_id: UUID | None, metadata: dict[str, Any]) -> Job:
    try:
        with session.begin_nested():
            job = enqueue(session, type, creator_id=creator_id, subject_id=THE_ONE, metadata=metadata)
            session.flush()
    except IntegrityError:  # another asked a moment before
        raise OperationInProgress from None
    return job


def record_made(session: Session, actor: Actor, manifest: Manifest, job_id: UUID | None = None) -> None:
    """Note that a backup was made, with the end of the audit chain that is in it."""
    audit.record(session, actor, "backup.created", object_type="backups", object_id=manifest.id, after=summary(manifest), job_id=job_id)


def record_checked(session: Session, actor: Actor, manifest: Manifest, job_id: UUID | None = None) -> None:
    verified = manifest.verified
    assert verified is not None
    if verified.ok:
        found = {"ok": True, "what": verified.what}
        audit.record(session, actor, "backup.verified", object_type="backups", object_id=manifest.id, after=found, job_id=job_id)
    else:
        record_damaged(session, actor, manifest.id, verified.what, job_id)


def record_damaged(session: Session, actor: Actor, backup_id: UUID, what: str, job_id: UUID | None = None) -> None:
    """Note that a backup cannot be trusted, also where not even its manifest can be read."""
    found = {"ok": False, "what": what}
    audit.record(session, actor, "backup.damaged", object_type="backups", object_id=backup_id, after=found, job_id=job_id)


def record_entered(session: Session, actor: Actor, manifest: Manifest) -> None:
    """Note that a backup whose manifest was lost is in the catalog again."""
    audit.record(session, actor, "backup.entered", object_type="backups", object_id=manifest.id, after=summary(manifest))


def record_removed(session: Session, actor: Actor, manifest: Manifest) -> None:
    audit.record(session, actor, "backup.removed", object_type="backups", object_id=manifest.id, before=summary(manifest))


def summary(manifest: Manifest) -> dict[str, Any]:
    """What a job answers and an entry of the audit log keeps of a backup."""
    return {
        "backup_id": str(manifest.id),
        "type": str(manifest.type),
        "effective_type": str(manifest.effective_type),
        "note": manifest.note,
        "snapshot_at": manifest.snapshot_at.isoformat().replace("+00:00", "Z"),
        "bytes": manifest.stored_bytes,
        "database_bytes": manifest.database_bytes,
        "uploads": manifest.uploads,
        "encrypted": manifest.encrypted,
        "verified": bool(manifest.verified and manifest.verified.ok),
        "audit_head": f"{manifest.audit_sequence}:{manifest.audit_hash}",
    }
