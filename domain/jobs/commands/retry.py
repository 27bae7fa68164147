from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.errors import Conflict
from domain.jobs.commands.enqueue import enqueue
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import lock_job
from domain.jobs.types import type_of


class CannotRetry(Conflict):
    code = "CANNOT_RETRY"


def retry(session: Session, actor: Actor, job_id: UUID) -> Job:
    """Ask once more for what a failed job was to do. A finished job never changes, so this is a new one that names the old.

    Raises NotFound, Forbidden, CannotRetry.
    """
    job = lock_job(session, actor, job_id)
    actor.require_or_own(Permission.JOBS_RETRY, job.creator_id)
    kind = type_of(job.type)
    for permission in kind.permissions(job.payload):
        actor.require(permission)
    if job.status != JobStatus.FAILED:
        raise CannotRetry("Only a failed job can be run again.", current_status=str(job.status))
    if not kind.run_again:
        instead = "try its refund again" if "refund_id" in job.payload else "the portal starts the next one when it is time"
        raise CannotRetry(f"A job of the type {job.type} is not run again by itself: {instead}.", current_status=str(job.status))
    again = enqueue(session, job.type, creator_id=actor.admin_id, metadata={**job.payload, "retry_of": str(job.id)})
    session.flush()
    audit.record(session, actor, "job.retried", job, type=job.type, new_job_id=again.id)
    return again
