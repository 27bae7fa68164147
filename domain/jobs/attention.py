"""What stands outside any list of jobs: how many want a look, and who has started some."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.db import now
from domain.identity.models import Admin
from domain.jobs import counts
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import visible

LATELY = timedelta(hours=24)
MOST_CREATORS = 50


def count_attention(session: Session, actor: Actor) -> int:
    """How many jobs run now or failed in the last 24 hours, of those the actor may see."""
    seen, creators = visible(actor), [] if actor.can(Permission.JOBS_LIST_ALL) else [actor.admin_id]
    running = counts.number_of(JobStatus.PROCESSING, creators)
    # Not "status is failed": by that alone an index would be read through all failures there ever were.
    failed = (
        select(func.count())
        .where(*seen, Job.finished_at >= now() - LATELY, Job.status.not_in((JobStatus.SUCCEEDED, JobStatus.CANCELLED)))
        .scalar_subquery()
    )
    return int(session.scalar(select(running + failed)) or 0)


def list_creators(session: Session, actor: Actor) -> list[tuple[UUID, str]]:
    """The admins who have started jobs that the actor may see, by name."""
    theirs = exists().where(Job.creator_id == Admin.id, *visible(actor))
    found = session.execute(select(Admin.id, Admin.name).where(theirs).order_by(Admin.name, Admin.id).limit(MOST_CREATORS))
    return [(admin_id, name) for admin_id, name in found]
