"""Reading jobs. Own ones always, everybody's with jobs:list_all; a job that the caller may not see does not exist for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, func, literal_column, or_, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.db import now
from domain.errors import NotFound
from domain.identity.models import Admin
from domain.jobs import counts
from domain.jobs.models import Job, JobEvent, JobStatus
from domain.pagination import Page, PageRequest, Position, cut, window

SHORT_ID = re.compile(r"[0-9a-fA-F]{6,8}")
"""The beginning of an id, as the monitor shows it."""


@dataclass(frozen=True)
class JobFilters(PageRequest):
    """What a list of jobs is narrowed to. `from_` and `to` bound `created_at`: from included, to excluded."""

    status: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    creator_id: UUID | None = None
    by_system: bool = False  # only those that nobody started
    from_: datetime | None = None
    to: datetime | None = None
    ended_since: datetime | None = None
    q: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Every filter but `status`: what the summary counts over."""
        found: list[ColumnElement[bool]] = []
        if self.type:
            found.append(Job.type.in_(self.type))
        if self.creator_id is not None:
            found.append(Job.creator_id == self.creator_id)
        if self.by_system:
            found.append(Job.creator_id.is_(None))
        if self.from_ is not None:
            found.append(Job.created_at >= self.from_)
        if self.to is not None:
            found.append(Job.created_at < self.to)
        if self.ended_since is not None:
            found.append(Job.finished_at >= self.ended_since)
        if self.q:
            found.append(
                or_(
                    cast(Job.payload, String).icontains(self.q, autoescape=True),
                    Job.type.icontains(self.q.replace(" ", "_"), autoescape=True),
                    *([cast(Job.id, String).startswith(self.q.lower())] if SHORT_ID.fullmatch(self.q) else []),
                )
            )
        return found


@dataclass(frozen=True)
class JobRow:
    """One line of the monitor: a job and the name of who started it (None: the system)."""

    job: Job
    creator_name: str | None

    @property
    def eta_seconds(self) -> int | None:
        """How long it will still take, going by how far it has come; None where nothing can be said."""
        job = self.job
        if job.status != JobStatus.PROCESSING or job.started_at is None or not 0 < job.progress_percent < 100:
            return None
        spent = (now() - job.started_at).total_seconds()
        return round(spent * (100 - job.progress_percent) / job.progress_percent)


@dataclass(frozen=True)
class JobDetail(JobRow):
    events: Sequence[JobEvent]
    cancelled_by_name: str | None = None


def list_jobs(session: Session, actor: Actor, filters: JobFilters) -> Page[JobRow]:
    """A page of jobs, newest first, with the counts behind every tab."""
    seen = visible(actor)
    rows = select(Job, Admin.name).outerjoin(Admin, Admin.id == Job.creator_id).where(*seen, *filters.conditions())
    if filters.status:
        rows = rows.where(Job.status.in_(filters.status))
    found: Sequence[Any] = session.execute(window(rows, filters, Job.created_at.expression, Job.id.expression)).all()
    items, more = cut([JobRow(job, name) for job, name in found], filters)
    summary = summarise_jobs(session, actor, filters)
    return Page(
        items=items,
        total_items=sum(summary[status] for status in filters.status or tuple(JobStatus)),
        request=filters,
        next_cursor=Position(items[-1].job.created_at, items[-1].job.id).encode() if more else None,
        summary=summary,
    )


def summarise_jobs(session: Session, actor: Actor, filters: JobFilters) -> dict[str, Any]:
    """Counts per status under every filter but `status`."""
    seen = visible(actor)
    if filters.from_ is None and filters.to is None and filters.ended_since is None and not filters.q:
        creators: list[UUID | None] = [] if actor.can(Permission.JOBS_LIST_ALL) else [actor.admin_id]
        creators += [None] if filters.by_system else []
        creators += [filters.creator_id] if filters.creator_id is not None else []
        found = counts.by_status(session, types=filters.type, creators=creators)
    else:
        counted = select(Job.status, func.count()).where(*seen, *filters.conditions()).group_by(Job.status)
        found = dict(session.execute(counted).all())
    return {str(status): found.get(status, 0) for status in JobStatus}


def visible(actor: Actor) -> list[ColumnElement[bool]]:
    if actor.can(Permission.JOBS_LIST_ALL):
        return [Job.deleted_at.is_(None)]
    actor.require(Permission.JOBS_LIST)
    return [Job.deleted_at.is_(None), Job.creator_id == actor.admin_id]


def get_job(session: Session, actor: Actor, job_id: UUID) -> JobDetail:
    """One job with its life. Raises NotFound, also for one the caller may not see."""
    row = session.execute(select(Job, Admin.name).outerjoin(Admin, Admin.id == Job.creator_id).where(Job.id == job_id)).first()
    if row is None:
        raise missing()
    job, name = row
    may_see(actor, job)
    events = session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.at.desc()).limit(200)).all()
    canceller = session.scalar(select(Admin.name).where(Admin.id == job.cancelled_by)) if job.cancelled_by else None
    return JobDetail(job, name, events[::-1], canceller)


def lock_job(session: Session, actor: Actor, job_id: UUID) -> Job:
    """Fetch a job to change it. Raises NotFound, also for one the caller may not see."""
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise missing()
    may_see(actor, job)
    return job


def may_see(actor: Actor, job: Job) -> None:
    own = job.creator_id is not None and job.creator_id == actor.admin_id
    if job.deleted_at is not None or not (own or actor.can(Permission.JOBS_LIST_ALL)):
        raise missing()


def missing() -> NotFound:
    return NotFound("There is no job with this id.")


@dataclass(frozen=True)
class Hour:
    """How jobs ended within one hour."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(frozen=True)
class Pulse:
    """How the queue is doing right now, over all the caller may see."""

    waiting: int
    running: int
    oldest_wait_seconds: int | None
    failed_24h: int
    finished_24h: int
    hours: Sequence[Hour]


def pulse(session: Session, actor: Actor) -> Pulse:
    """The figures above the list: what waits, runs and failed, and the last 24 hours by the hour."""
    seen, moment = visible(actor), now()
    since = moment.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    waiting, running, oldest = queue_now(session, actor, moment)
    hours = {since + timedelta(hours=number): {"succeeded": 0, "failed": 0, "cancelled": 0} for number in range(24)}
    hour = hour_of(session, Job.finished_at.expression)
    by_hour = select(hour, Job.status, func.count()).where(*seen, Job.finished_at >= since).group_by(hour, Job.status)
    for start, status, count in session.execute(by_hour):
        begun = datetime.fromisoformat(start).replace(tzinfo=UTC)
        if begun in hours:
            hours[begun][status] += count
    failed = sum(hour["failed"] for hour in hours.values())
    finished = sum(sum(hour.values()) for hour in hours.values())
    wait = None if oldest is None else round((moment - oldest).total_seconds())
    return Pulse(waiting, running, wait, failed, finished, [Hour(start, **ended) for start, ended in hours.items()])


def queue_now(session: Session, actor: Actor, moment: datetime) -> tuple[int, int, datetime | None]:
    """How many jobs are due and how many run, and since when the oldest is due: at a cost that a long queue does not raise."""
    whose = [] if actor.can(Permission.JOBS_LIST_ALL) else [Job.creator_id == actor.admin_id]
    creators = [actor.admin_id] if whose else []
    pending = [*whose, Job.status == JobStatus.PENDING]  # none of which is ever deleted
    later = select(func.count()).where(*pending, Job.run_after > moment).scalar_subquery()
    oldest = select(func.min(Job.run_after)).where(*pending, Job.run_after <= moment).scalar_subquery()
    waiting, running = (counts.number_of(status, creators) for status in (JobStatus.PENDING, JobStatus.PROCESSING))
    found = session.execute(select(waiting - later, running, oldest)).one()
    return int(found[0]), int(found[1]), found[2]


def hour_of(session: Session, column: ColumnElement[Any]) -> ColumnElement[str]:
    """The beginning of its hour in UTC, as text that Python reads."""
    if session.get_bind().dialect.name == "postgresql":
        return func.to_char(column, literal_column("'YYYY-MM-DD HH24:00'"))
    return func.strftime(literal_column("'%Y-%m-%d %H:00'"), column)
