from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.db import now
from domain.errors import DomainError
from domain.jobs.models import Job
from domain.jobs.queries import lock_job


class CannotDelete(DomainError):
    status, code, settled = 400, "CANNOT_DELETE", True


def delete(session: Session, actor: Actor, job_id: UUID) -> Job:
    """Delete a finished job: it is gone from every list at once; its row is purged after the retention time (domain/jobs/retention.py).

    The caller removes `job.result_file` from storage after the commit; the clean-up removes what was left behind. Raises NotFound,
    Forbidden, CannotDelete.
    """
    job = lock_job(session, actor, job_id)
    actor.require_or_own(Permission.JOBS_DELETE, job.creator_id)
    if not job.finished:
        raise CannotDelete("Can only delete completed (succeeded/failed/cancelled) jobs", current_status=str(job.status))
    job.deleted_at, job.deleted_by = now(), actor.admin_id
    audit.record(session, actor, "job.deleted", job, before={"status": str(job.status)}, type=job.type)
    return job
