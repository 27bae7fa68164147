"""What stands outside any list of jobs: how many want a look, and who has started some."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from domain.access import Actor
from domain.db import now
from domain.identity.models import Admin
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import visible

LATELY = timedelta(hours=24)
MOST_CREATORS = 50


def count_attention(session: Session, actor: Actor) -> int:
    """How many jobs run now or failed in the last 24 hours, of those the actor may see."""
    lately = now() - LATELY
    failed = (Job.status == JobStatus.FAILED) & (Job.updated_at >= lately) & (Job.finished_at >= lately)
    wanted = select(func.count()).select_from(Job).where(*visible(actor), or_(Job.status == JobStatus.PROCESSING, failed))
    return session.scalar(wanted) or 0


def list_creators(session: Session, actor: Actor) -> list[tuple[UUID, str]]:
    """The admins who have started jobs that the actor may see, by name."""
    theirs = exists().where(Job.creator_id == Admin.id, *visible(actor))
    found = session.execute(select(Admin.id, Admin.name).where(theirs).order_by(Admin.name, Admin.id).limit(MOST_CREATORS))
    return [(admin_id, name) for admin_id, name in found]
