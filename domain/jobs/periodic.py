"""What is done every so often, whoever asks for it first: the jobs themselves say when it was done last."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.models import Job, JobStatus

CLOCKS_DIFFER = timedelta(minutes=5)  # of two machines, by less
UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)


def wanted(session: Session, type: str, *, every: timedelta, after_a_failure: timedelta) -> bool:
    """Whether none is on its way, the last that succeeded was begun so long ago, and the last that failed ended so long ago. Those that are
    dated ahead, since the clock was, are no reason to wait until it has come so far again."""
    moment = now()
    ahead = moment + CLOCKS_DIFFER
    found = select(Job.id).where(
        Job.type == type,
        or_(
            Job.status.in_(UNFINISHED),
            (Job.status == JobStatus.SUCCEEDED) & (Job.created_at > moment - every) & (Job.created_at < ahead),
            (Job.status == JobStatus.FAILED) & (Job.finished_at > moment - after_a_failure) & (Job.finished_at < ahead),
        ),
    )
    return session.scalar(found.limit(1)) is None
