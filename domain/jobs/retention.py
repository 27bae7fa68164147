"""How long jobs are kept, and what is removed then.

    finished -> (retention) -> its file is removed -> (retention) -> its row is purged, with its events

A job without a file is purged as soon as it is that old, a deleted one when it was deleted that long ago. Files that no job answers
for were left by a worker that died between keeping one and writing that down: they go after a day.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.db import now
from domain.jobs import events, periodic
from domain.jobs.commands import enqueue_unless_live
from domain.jobs.models import Job
from domain.jobs.periodic import UNFINISHED
from domain.jobs.types import CLEANUP

EVERY = timedelta(days=1)
AFTER_A_FAILURE = timedelta(hours=1)
STRAY_AFTER = timedelta(days=1)
AT_ONCE = 200


def wanted(session: Session) -> bool:
    return periodic.wanted(session, CLEANUP.name, every=EVERY, after_a_failure=AFTER_A_FAILURE)


def request(session: Session) -> Job | None:
    """Ask for a clean-up if one is wanted."""
    return enqueue_unless_live(session, CLEANUP.name) if wanted(session) else None


def count_due(session: Session, before: datetime) -> int:
    """How much there is to do: files to remove and rows to purge."""
    due = select(func.count()).select_from(Job)
    return (session.scalar(due.where(file_is_due(before))) or 0) + (session.scalar(due.where(row_is_due(before))) or 0)


def list_expired(session: Session, before: datetime) -> Sequence[tuple[UUID, str]]:
    """Some of the jobs whose file is to go, and the file: those finished before that moment, and deleted ones whatever their age."""
    found = select(Job.id, Job.result_file).where(file_is_due(before)).order_by(Job.finished_at).limit(AT_ONCE)
    return [(job_id, file) for job_id, file in session.execute(found) if file is not None]


def note_expired(session: Session, job_ids: Collection[UUID]) -> None:
    """Write down that the files of these jobs are gone."""
    for job_id in session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.deleted_at.is_(None))):
        events.note(session, job_id, "file_expired")
    session.execute(update(Job).where(Job.id.in_(job_ids)).values(result_file=None, result_expired_at=now()))
    audit.record(session, SYSTEM, "jobs.files_expired", object_type=Job.__tablename__, job_ids=sorted(map(str, job_ids)))


def purge(session: Session, before: datetime) -> int:
    """Remove some of the rows that have been kept long enough, with their events; says how many."""
    due = select(Job.id).where(row_is_due(before)).order_by(Job.finished_at).limit(AT_ONCE).with_for_update(skip_locked=True)
    job_ids = session.scalars(due).all()
    if job_ids:
        session.execute(delete(Job).where(Job.id.in_(job_ids)).execution_options(synchronize_session=False))
        audit.record(session, SYSTEM, "jobs.purged", object_type=Job.__tablename__, count=len(job_ids), finished_before=before)
    return len(job_ids)


def file_is_due(before: datetime) -> ColumnElement[bool]:
    return Job.result_file.is_not(None) & ((Job.finished_at < before) | Job.deleted_at.is_not(None))


def row_is_due(before: datetime) -> ColumnElement[bool]:
    """Never while its file is there, or while a worker that was told to stop has not yet done so."""
    return (
        (Job.finished_at < before)
        & (func.coalesce(Job.deleted_at, Job.result_expired_at, Job.finished_at) < before)
        & Job.result_file.is_(None)
        & Job.lease_owner.is_(None)
    )


def find_strays(session: Session, names: Collection[str]) -> list[str]:
    """Those of the stored files, named for their jobs, that no job has or can still come to have."""
    owners = {name: job_id for name in names if (job_id := as_id(PurePosixPath(name).stem)) is not None}
    rows = session.execute(select(Job.id, Job.status, Job.result_file).where(Job.id.in_(set(owners.values()))))
    found = {job_id: (status, file) for job_id, status, file in rows}
    return [name for name, owner in owners.items() if owner not in found or not answers_for(name, *found[owner])]


def answers_for(name: str, status: str, file: str | None) -> bool:
    return file == name or status in UNFINISHED


def find_unfinished(session: Session, job_ids: Collection[UUID]) -> set[UUID]:
    """Those of these jobs that are worked on or may still be."""
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.status.in_(UNFINISHED))))


def as_id(text: str) -> UUID | None:
    """The id that is written so, as the portal writes it."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None
