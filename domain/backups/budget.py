"""How often backups and restores may be asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import JobType
from domain.throttle import Blocked, refusal

ONCE_IN = timedelta(hours=1)


def within_budget(session: Session, kind: JobType, words: str) -> None:
    """One an hour for the whole installation, not counting those that failed or were cancelled, nor what the portal does by itself.

    Raises RateLimited.
    """
    again_at = next_allowed_at(session, kind)
    if again_at is not None:
        raise refusal(Blocked(again_at, first=False), words)


def next_allowed_at(session: Session, kind: JobType) -> datetime | None:
    """When the next may be asked for; None: now."""
    counted = Job.type == kind.name, Job.status.not_in((JobStatus.FAILED, JobStatus.CANCELLED)), Job.creator_id.is_not(None)
    newest = session.scalar(select(Job.created_at).where(*counted).order_by(Job.created_at.desc()).limit(1))
    return newest + ONCE_IN if newest is not None and newest > now() - ONCE_IN else None
