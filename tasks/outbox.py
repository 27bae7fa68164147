"""Tells the queue of committed jobs: never before its transaction commits, never if it rolls back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.models import Job, JobStatus

NEW_JOBS = "jobs_to_ring_for"
MOST_RINGS = 8
"""For one transaction. A thread that answers goes on with whatever is due, so more would wake nobody who is needed."""


def connect(sessions: Any, ring: Callable[[Sequence[UUID]], object]) -> None:
    """Listen to every session of a sessionmaker or scoped session."""

    @event.listens_for(sessions, "after_flush")
    def collect(session: Session, _context: object) -> None:
        ready = [row.id for row in session.new if isinstance(row, Job) and row.status == JobStatus.PENDING and row.run_after <= now()]
        session.info.setdefault(NEW_JOBS, []).extend(ready)

    @event.listens_for(sessions, "after_commit")
    def dispatch(session: Session) -> None:
        if not session.in_nested_transaction():  # SQLAlchemy reports savepoints here too
            new_jobs = session.info.pop(NEW_JOBS, ())
            if new_jobs:
                ring(new_jobs[:MOST_RINGS])

    @event.listens_for(sessions, "after_soft_rollback")
    def forget(session: Session, _previous: object) -> None:
        if not session.in_nested_transaction():
            session.info.pop(NEW_JOBS, None)
