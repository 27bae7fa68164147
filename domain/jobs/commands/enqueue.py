"""Asking for work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.leases import database_now
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import type_of

THE_ONE = UUID("00000000-0000-4000-8000-000000000001")
"""The subject of jobs that are about everything, so that at most one of a type is live."""


@dataclass(frozen=True)
class Holder:
    """Who will work on a job at once, without waiting for a worker, and for how many seconds it may."""

    name: str
    seconds: float


def enqueue(
    session: Session,
    type: str,
    *,
    creator_id: UUID | None = None,
    subject_id: UUID | None = None,
    metadata: dict[str, Any] | None = None,
    run_after: datetime | None = None,
    max_attempts: int | None = None,
    holder: Holder | None = None,
) -> Job:
    """Write a job in the caller's transaction; the queue is told after it commits, and never if it does not.

    With a `holder` the job begins its life claimed: the request that made it tries first, and if it dies its lease runs out
    and a worker goes on. `max_attempts` counts the workers that may be lost over it; its type says how many.
    """
    job = Job(
        type=type,
        creator_id=creator_id,
        subject_id=subject_id,
        payload=metadata or {},
        run_after=run_after or now(),
        dispatched_at=None if run_after else now(),
        max_attempts=type_of(type).may_lose if max_attempts is None else max_attempts,
    )
    if holder is not None:
        moment = database_now(session)
        job.dispatched_at = None
        job.status, job.started_at, job.attempts = JobStatus.PROCESSING, moment, 1
        job.lease_owner, job.lease_until = holder.name, moment + timedelta(seconds=holder.seconds)
    session.add(job)
    return job


def enqueue_unless_live(session: Session, type: str, *, creator_id: UUID | None = None) -> Job | None:
    """Write a job of which one at a time is enough; None if another is on its way. Two may ask at once: the database keeps one."""
    try:
        with session.begin_nested():
            job = enqueue(session, type, creator_id=creator_id, subject_id=THE_ONE)
            session.flush()
        return job
    except IntegrityError:
        return None
