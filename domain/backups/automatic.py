"""Backups that nobody has to ask for: a full one every so often, and an incremental one where what changes is kept and no backup stands
there to go on from, as after a time without an archiver. They are not counted against the one an hour that people may ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.backups.manifest import BackupType
from domain.backups.standing import State, find_standing, is_ahead
from domain.backups.vault import Vault
from domain.db import now
from domain.jobs import periodic
from domain.jobs.commands import enqueue
from domain.jobs.commands.enqueue import THE_ONE
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import BACKUP

AFTER_A_FAILURE = timedelta(hours=1)
AFTER_ANOTHER = timedelta(minutes=10)


def wanted(session: Session, vault: Vault, every: timedelta) -> BackupType | None:
    """A full one if the newest that can be restored is older than that, whoever made it; nothing while one is on its way."""
    if not periodic.wanted(session, BACKUP.name, every=AFTER_ANOTHER, after_a_failure=AFTER_A_FAILURE) or cancelled_lately(session):
        return None
    standing = find_standing(vault)
    fulls = [each for each in standing.manifests if each.effective_type is BackupType.FULL and standing.states[each.id] is State.VERIFIED]
    if not any(full.snapshot_at > now() - every and not is_ahead(full) for full in fulls):
        return BackupType.FULL
    return BackupType.INCREMENTAL if vault.lacks_base() else None


def cancelled_lately(session: Session) -> bool:
    """Whoever cancels one has a reason, as that a restore is wanted now: it does not come back a minute later."""
    asked = Job.type == BACKUP.name, Job.creator_id.is_(None), Job.status == JobStatus.CANCELLED
    moment = now()
    lately = select(Job.id).where(*asked, Job.finished_at > moment - AFTER_A_FAILURE, Job.finished_at <= moment)
    return session.scalar(lately.limit(1)) is not None


def request(session: Session, backup_type: BackupType, *, include_uploads: bool) -> Job:
    """Ask for one. Raises IntegrityError where another was asked for a moment before."""
    metadata: dict[str, Any] = {"backup_type": str(backup_type), "include_uploads": include_uploads, "description": "Made by itself"}
    job = enqueue(session, BACKUP.name, subject_id=THE_ONE, metadata=metadata)
    session.flush()
    audit.record(session, SYSTEM, "backup.requested", job, **metadata)
    return job
