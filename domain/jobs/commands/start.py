from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import Invalid
from domain.jobs.commands.enqueue import enqueue
from domain.jobs.models import Job
from domain.jobs.types import JOB_TYPES


def start(session: Session, actor: Actor, type: str, parameters: dict[str, Any]) -> Job:
    """Start a job that people may start; its parameters were checked by the door. Raises Forbidden, Invalid."""
    kind = JOB_TYPES.get(type)
    if kind is None or kind.started_with is None:
        startable = ", ".join(each.name for each in JOB_TYPES.values() if each.started_with)
        raise Invalid(f"Only the portal starts jobs of that type. Start one of: {startable}.", field="type")
    for permission in kind.permissions(parameters):
        actor.require(permission)
    job = enqueue(session, type, creator_id=actor.admin_id, metadata=parameters)
    session.flush()
    audit.record(session, actor, "job.started", job, after={"status": "pending"}, type=type, parameters=parameters)
    return job
