"""Which workers live. A heartbeat tells people; who holds a job is a matter of its lease alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain.jobs.leases import database_now
from domain.jobs.models import WorkerHeartbeat

BEATS_EVERY_SECONDS = 10.0
GONE_AFTER = timedelta(seconds=35)
FORGOTTEN_AFTER = timedelta(hours=1)


def beat(session: Session, worker_id: UUID, *, host: str, pid: int, threads: int, jobs_running: int) -> None:
    """Say that this worker lives, and forget those that died long ago."""
    moment = database_now(session)
    row = session.get(WorkerHeartbeat, worker_id)
    if row is None:
        row = WorkerHeartbeat(id=worker_id, host=host[:100], pid=pid, started_at=moment, threads=threads)
        session.add(row)
    row.last_seen_at, row.jobs_running = moment, jobs_running
    session.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.last_seen_at < moment - FORGOTTEN_AFTER))


def leave(session: Session, worker_id: UUID) -> None:
    """This worker ends in good order."""
    session.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.id == worker_id))


def living(session: Session) -> Sequence[WorkerHeartbeat]:
    """The workers that were heard of lately, the longest running first."""
    heard = WorkerHeartbeat.last_seen_at > database_now(session) - GONE_AFTER
    return session.scalars(select(WorkerHeartbeat).where(heard).order_by(WorkerHeartbeat.started_at)).all()
