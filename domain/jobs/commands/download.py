from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import NotFound
from domain.jobs.outcomes import ResultFile
from domain.jobs.queries import lock_job
from domain.jobs.types import type_of


class NoResult(NotFound):
    """It made no file, or has none any more."""

    def __init__(self) -> None:
        super().__init__("This job has no result file.")


def download(session: Session, actor: Actor, job_id: UUID) -> ResultFile:
    """Note that the result is being downloaded, and say which file it is. Raises NotFound, Forbidden.

    Whoever may not start such a job may not have its file either, not even one of their own from before their role changed.
    """
    job = lock_job(session, actor, job_id)
    for permission in type_of(job.type).permissions(job.payload):
        actor.require(permission)
    if job.result_file is None:
        raise NoResult
    audit.record(session, actor, "export.downloaded", job, type=job.type, parameters=job.payload)
    return ResultFile(job.result_file, job.result_name or "result", job.result_type or "application/octet-stream")
