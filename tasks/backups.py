"""Backups: made by the vault, told by the job."""

from __future__ import annotations

from functools import partial

from domain.access import SYSTEM
from domain.backups.commands import record_made, summary
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.errors import DomainError
from domain.identity.models import Admin
from domain.jobs.outcomes import Done, Failed, Outcome
from tasks.work import Work


def backup(work: Work) -> Outcome:
    asked = work.job.payload
    with work.context.sessions() as session:
        creator = session.get(Admin, work.job.creator_id) if work.job.creator_id else None
    wish = Wish(work.job.id, BackupType(asked["backup_type"]), asked.get("description"), creator.name if creator else "System", work.job.id)
    try:
        manifest = work.context.vault.create(wish, work.progress)
    except DomainError as error:
        return Failed(error.code, error.message)
    return Done(summary(manifest), then=partial(record_made, actor=SYSTEM, manifest=manifest, job_id=work.job.id))
