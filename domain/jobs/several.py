"""The same act on many jobs: each by its own command, and those that refuse are left and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.errors import DomainError
from domain.jobs import commands
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import JobFilters, visible
from domain.jobs.types import JOB_TYPES

AT_ONCE = 500
"""How many jobs one request changes at most: the rest takes another."""

UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)
FINISHED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True)
class Group:
    """The jobs an act would be about: how many there are, and the first of them."""

    count: int
    ids: Sequence[UUID]


@dataclass
class Tally:
    """What came of it: the jobs that were changed, and why the others were left."""

    done: list[Job] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


def find_cancellable(
    session: Session, actor: Actor, filters: JobFilters, picked: Collection[UUID] = (), before: datetime | None = None
) -> Group:
    """The unfinished jobs under the filters (or those picked) that the actor may cancel, oldest first."""
    kinds = [kind.name for kind in JOB_TYPES.values() if kind.cancellable]
    return find(
        session, actor, Permission.JOBS_CANCEL, UNFINISHED, filters, picked, before, Job.type.in_(kinds), Job.irrevocable_at.is_(None)
    )


def find_deletable(
    session: Session, actor: Actor, filters: JobFilters, picked: Collection[UUID] = (), before: datetime | None = None
) -> Group:
    """The finished jobs under the filters (or those picked) that the actor may delete, oldest first."""
    return find(session, actor, Permission.JOBS_DELETE, FINISHED, filters, picked, before)


def find(
    session: Session,
    actor: Actor,
    permission: Permission,
    statuses: Sequence[str],
    filters: JobFilters,
    picked: Collection[UUID],
    before: datetime | None,
    *also: ColumnElement[bool],
) -> Group:
    conditions = [*visible(actor), Job.status.in_(statuses), *also]
    if picked:
        conditions.append(Job.id.in_(set(picked)))
    else:
        conditions += filters.conditions()
        if filters.status:
            conditions.append(Job.status.in_(filters.status))
    if before is not None:
        conditions.append(Job.created_at <= before)
    if not actor.can(permission):
        conditions.append(Job.creator_id == actor.admin_id)
    count = session.scalar(select(func.count()).select_from(Job).where(*conditions)) or 0
    ids = session.scalars(select(Job.id).where(*conditions).order_by(Job.created_at, Job.id).limit(AT_ONCE)).all()
    return Group(count, ids)


def each(session: Session, actor: Actor, act: Callable[[Session, Actor, UUID], Job], ids: Collection[UUID]) -> Tally:
    """Do it to each by its command, which locks, checks and audits it. A command refuses before it changes anything."""
    tally = Tally()
    for job_id in ids:
        try:
            tally.done.append(act(session, actor, job_id))
        except DomainError as refusal:
            tally.left[refusal.message] += 1
    return tally


def cancel_each(session: Session, actor: Actor, ids: Collection[UUID], reason: str | None = None) -> Tally:
    return each(session, actor, lambda session, actor, job_id: commands.cancel(session, actor, job_id, reason=reason), ids)


def delete_each(session: Session, actor: Actor, ids: Collection[UUID]) -> Tally:
    """As `commands.delete`, the caller removes the result files after the commit."""
    return each(session, actor, commands.delete, ids)


def retry_each(session: Session, actor: Actor, ids: Collection[UUID]) -> Tally:
    """The tally's jobs are the new ones."""
    return each(session, actor, commands.retry, ids)
