"""Backups: made and verified by the vault, told by the job."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from domain.access import SYSTEM
from domain.backups.commands import record_checked, record_damaged, record_made, summary
from domain.backups.errors import BackupCorrupt, OperationInProgress
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.errors import DomainError
from domain.identity.models import Admin
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from tasks.work import Work

ANOTHER_TURN = Again(5, "Waits for another backup or restore to end")


def backup(work: Work) -> Outcome:
    asked, uploads = work.job.payload, work.job.payload.get("include_uploads", False)
    with work.context.sessions() as session:
        creator = session.get(Admin, work.job.creator_id) if work.job.creator_id else None
    wish = Wish(
        id=work.job.id,
        type=BackupType(asked["backup_type"]),
        description=asked.get("description"),
        created_by=creator.name if creator else "System",
        job_id=work.job.id,
        uploads=work.context.config.backup_uploads if uploads is None else uploads,
        uploads_if_possible=work.job.creator_id is None,
    )
    try:
        manifest = work.context.vault.create(wish, work.progress)
    except OperationInProgress:
        return ANOTHER_TURN
    except DomainError as error:
        return Failed(error.code, error.message)
    return Done(summary(manifest), then=partial(record_made, actor=SYSTEM, manifest=manifest, job_id=work.job.id))


def backup_verify(work: Work) -> Outcome:
    """A damaged one is a failed job, so that it stands among what wants a look."""
    backup_id = UUID(work.job.payload["backup_id"])
    try:
        manifest = work.context.vault.verify(backup_id, work.progress)
    except OperationInProgress:
        return ANOTHER_TURN
    except BackupCorrupt as error:
        with work.context.sessions.begin() as session:
            record_damaged(session, SYSTEM, backup_id, error.message, work.job.id)
        return Failed(error.code, error.message)
    except DomainError as error:
        return Failed(error.code, error.message)
    found = {"backup_id": str(backup_id), "verified": True, "what": manifest.verified.what if manifest.verified else ""}
    return Done(found, then=partial(record_checked, actor=SYSTEM, manifest=manifest, job_id=work.job.id))
