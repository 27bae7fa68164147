"""The lines of a job's life."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from domain.jobs.models import JobEvent

LONGEST = 2000


def note(session: Session, job_id: UUID, event: str, message: str | None = None) -> None:
    """Add a line, such as "claimed", "lost", "failed" or, for what the work itself tells, "log"."""
    session.add(JobEvent(job_id=job_id, event=event, message=None if message is None else message[:LONGEST]))


def note_several(session: Session, job_ids: Collection[UUID], event: str, message: str | None = None) -> None:
    """The same line for each of these jobs."""
    if job_ids:
        session.execute(insert(JobEvent), [{"job_id": job_id, "event": event, "message": message} for job_id in job_ids])
