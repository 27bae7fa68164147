"""Restores by the job that was asked for: what is seen of one before it has come to be, and of one that never did."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Actor
from domain.backups.queries import may_see
from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.jobs.queries import JobRow
from domain.jobs.types import RESTORE
from domain.restores.errors import RestoreNotFound


def get_asked(session: Session, actor: Actor, restore_id: UUID) -> JobRow:
    """The job of a restore, whose id is the restore's. Raises RestoreNotFound."""
    may_see(actor)
    found = select(Job, Admin.name).outerjoin(Admin, Admin.id == Job.creator_id).where(Job.id == restore_id, Job.type == RESTORE.name)
    row = session.execute(found).first()
    if row is None:
        raise RestoreNotFound
    return JobRow(row[0], row[1])
