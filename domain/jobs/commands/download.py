from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import DomainError, NotFound
from domain.jobs.outcomes import ResultFile
from domain.jobs.queries import lock_job
from domain.jobs.types import type_of


class NoResult(NotFound):
    """It made no file, or has none any more."""

    def __init__(self) -> None:
        super().__init__("This job has no result file.")


class ResultExpired(DomainError):
    """It made a file, which was removed for its age."""

    status, code = 410, "RESULT_EXPIRED"

    def __init__(self, expired_at: datetime):
        super().__init__(
            "This job's file was kept for its time and then removed. Start the job anew to make another.", expired_at=expired_at
        )


def download(session: Session, actor: Actor, job_id: UUID) -> ResultFile:
    """Note that the result is being downloaded, and say which file it is. Raises NotFound, Forbidden, NoResult,
    ResultExpired.

    Whoever may not start such a job may not have its file either, not even one of their own from before their role changed.
    """
    job = lock_job(session, actor, job_id)
    for permission in type_of(job.type).permissions(job.payload):
        actor.require(permission)
    if job.result_expired_at is not None:
        raise ResultExpired(job.result_expired_at)
    if job.result_file is None:
        raise NoResult
    audit.record(session, actor, "export.downloaded", job, type=job.type, parameters=job.payload)
    return ResultFile(job.result_file, job.result_name or "result", job.result_type or "application/octet-stream")
