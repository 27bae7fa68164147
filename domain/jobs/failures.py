"""Failed jobs by cause: what is the same mistake many times over is one line, tried again once before all of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import JobFilters, visible
from domain.jobs.types import type_of

NEWEST = 1000
"""How many failed jobs are looked at."""

VARYING = (
    (re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "…"),
    (re.compile(r"\b[A-Za-z]{2,}[_-][\w-]*\d[\w-]*"), "…"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "…"),
    (re.compile(r"\d+([.,:]\d+)*"), "#"),
)


@dataclass
class Cause:
    """One cause: its failed jobs that nobody has tried again, newest first, and the trials of those that somebody did."""

    key: str
    type: str
    code: str
    message: str
    ids: list[UUID] = field(default_factory=list)
    count: int = 0
    latest: datetime | None = None
    first: datetime | None = None
    trials: list[Job] = field(default_factory=list)
    run_again: bool = True

    @property
    def trial(self) -> Job | None:
        """The newest attempt to run one of them again."""
        return max(self.trials, key=lambda job: job.created_at) if self.trials else None


def normalised(message: str) -> str:
    """The message without what differs from job to job: ids, numbers, times."""
    text = message[:500]
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def group_failures(session: Session, actor: Actor, filters: JobFilters) -> Sequence[Cause]:
    """The causes among the newest failed jobs under the filters, the most frequent first."""
    conditions = [*visible(actor), *filters.conditions(), Job.status == JobStatus.FAILED]
    failed = session.scalars(select(Job).where(*conditions).order_by(Job.created_at.desc(), Job.id.desc()).limit(NEWEST)).all()
    if not failed:
        return []
    tried = trials_of(session, actor, failed)
    causes: dict[str, Cause] = {}
    for job in failed:
        if "retry_of" in job.payload and str(job.payload["retry_of"]) in {str(other.id) for other in failed}:
            continue  # a trial that failed too is told with the job it was a trial of
        cause = cause_of(job)
        cause = causes.setdefault(cause.key, cause)
        cause.count += 1
        cause.latest, cause.first = cause.latest or job.finished_at, job.finished_at
        trials = tried.get(str(job.id), [])
        cause.trials += trials
        if not trials and may_retry(actor, job):
            cause.ids.append(job.id)
    return sorted(causes.values(), key=lambda cause: (-cause.count, cause.key))


def cause_of(job: Job) -> Cause:
    error = job.error or {}
    code, message = str(error.get("code", "FAILED")), str(error.get("message", ""))
    plain = normalised(message)
    key = sha256(f"{job.type}\n{code}\n{plain}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Cause(key, job.type, code, message, run_again=type_of(job.type).run_again)


def may_retry(actor: Actor, job: Job) -> bool:
    kind = type_of(job.type)
    own = job.creator_id is not None and job.creator_id == actor.admin_id
    allowed = own or actor.can(Permission.JOBS_RETRY)
    return kind.run_again and allowed and all(actor.can(permission) for permission in kind.permissions(job.payload))


def trials_of(session: Session, actor: Actor, failed: Sequence[Job]) -> dict[str, list[Job]]:
    """The jobs that ran one of these again, by the id of the failed one."""
    kinds, since = {job.type for job in failed}, min(job.created_at for job in failed)
    again = select(Job).where(
        *visible(actor), Job.type.in_(kinds), Job.created_at >= since, Job.payload["retry_of"].as_string().is_not(None)
    )
    found: dict[str, list[Job]] = {}
    for job in session.scalars(again):
        found.setdefault(str(job.payload["retry_of"]), []).append(job)
    return found
