from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.db import now
from domain.errors import Conflict
from domain.jobs import events
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import lock_job
from domain.jobs.types import type_of


class CannotCancel(Conflict):
    code = "CANNOT_CANCEL"


def cancel(session: Session, actor: Actor, job_id: UUID, *, reason: str | None = None) -> Job:
    """Cancel a pending or running job: it is cancelled from this moment on, and its worker stops and cleans up within a second.

    Raises NotFound, Forbidden, CannotCancel (it is finished, of a type that is never cancelled, or past its point of no return).
    """
    job = lock_job(session, actor, job_id)
    actor.require_or_own(Permission.JOBS_CANCEL, job.creator_id)
    if job.status == JobStatus.CANCELLED:
        raise CannotCancel("This job was already cancelled.", current_status=str(job.status))
    if job.finished:
        raise CannotCancel("Job has already completed", current_status=str(job.status))
    if not type_of(job.type).cancellable:
        raise CannotCancel(f"A job of the type {job.type} cannot be cancelled: it must come to its end.", current_status=str(job.status))
    if job.irrevocable_at is not None:
        raise CannotCancel("This job has passed its point of no return.", current_status=str(job.status))
    before, moment = str(job.status), now()
    running = job.status == JobStatus.PROCESSING
    job.status, job.cancelled_at, job.cancelled_by, job.cancel_reason = JobStatus.CANCELLED, moment, actor.admin_id, reason
    job.finished_at = moment
    if not running and not job.attempts:
        job.cancel_acknowledged_at = moment
    elif not running:
        job.lease_until = moment  # a worker that died over it may have left files: they are removed before it is acknowledged
    events.note(session, job.id, "cancelled", reason)
    audit.record(
        session, actor, "job.cancelled", job, before={"status": before}, after={"status": "cancelled"}, type=job.type, reason=reason
    )
    return job
