"""Restores by the job that was asked for: what is seen of one before it has come to be, and of one that never did."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from domain.access import Actor, Permission
from domain.backups.queries import may_see
from domain.db import now
from domain.errors import Forbidden
from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.jobs.queries import JobRow
from domain.jobs.types import RESTORE
from domain.restores.errors import RestoreNotFound, WaitedTooLong

LONGEST_WAIT = timedelta(hours=1)
"""After which a restore takes back more than whoever asked for it was shown."""


def get_asked(session: Session, actor: Actor, restore_id: UUID) -> JobRow:
    """The job of a restore, whose id is the restore's. Raises RestoreNotFound."""
    may_see(actor)
    found = select(Job, Admin.name).outerjoin(Admin, Admin.id == Job.creator_id).where(Job.id == restore_id, Job.type == RESTORE.name)
    row = session.execute(found).first()
    if row is None:
        raise RestoreNotFound
    return JobRow(row[0], row[1])


def find_asker(session: Session, job: Job) -> Admin | None:
    """Who asked for the restore that is about to begin; None: nobody in particular. Raises Forbidden where they may not restore any more,
    WaitedTooLong."""
    if now() - job.created_at > LONGEST_WAIT:
        raise WaitedTooLong(
            "It waited for more than an hour, and would take back what was done meanwhile: nothing was changed. Ask for it again."
        )
    if job.creator_id is None:
        return None
    admin = session.get(Admin, job.creator_id, options=[joinedload(Admin.role, innerjoin=True)])
    if admin is None or not admin.active or not may_restore(admin):
        raise Forbidden("Whoever asked for it may not restore any more: nothing was changed. Somebody else may ask for it.")
    return admin


def may_restore(admin: Admin) -> bool:
    """By their role as it is now."""
    return Actor(admin.id, admin.name, frozenset(admin.role.permissions)).can(Permission.SYSTEM_RESTORE)
