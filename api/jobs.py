"""/api/v1/admin/jobs: background jobs, watched, started, cancelled, deleted and run again."""

from typing import Any
from uuid import UUID

from flask import Response, g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.jobs import JobCancelledSchema, JobDetailSchema, JobSchema, JobStartedSchema, detailed, facts, listed, started
from domain.access import Permission
from domain.jobs import commands, queries
from domain.jobs.queries import JobFilters
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.jobs import STARTS, JobCancellation, JobQuery, JobStart
from web.jobs import remove_result, send_result

blp = Blueprint(
    "jobs", __name__, url_prefix="/api/v1/admin/jobs", description="Background jobs: own ones, and with `jobs:list_all` everybody's."
)

FILE = {"schema": {"type": "string", "format": "binary"}}


@blp.get("")
@needs(Permission.JOBS_LIST, Permission.JOBS_LIST_ALL)
@blp.arguments(JobQuery, location="query")
@blp.response(200, envelope(JobSchema, many=True))
def index(filters: JobFilters) -> dict[str, Any]:
    """List background jobs, newest first: own ones, everybody's with `jobs:list_all`."""
    page = queries.list_jobs(db.session(), g.actor, filters)
    return {"data": [listed(row) for row in page], "meta": page.meta}


@blp.post("")
@needs(Permission.ANALYTICS_VIEW, Permission.REFUNDS_APPROVE, Permission.AUDIT_LIST)
@idempotent()
@blp.arguments(JobStart)
@blp.response(200, envelope(JobStartedSchema))
@blp.doc(requestBody={"content": {"application/json": {"schema": {"oneOf": list(STARTS.values())}}}})
def start(wish: dict[str, Any]) -> dict[str, Any]:
    """Start an export or a bulk decision.

    `analytics_export` needs `analytics:view`, `audit_export` needs `audit:list`, `bulk_operation` needs `refunds:approve`.
    """
    return {"data": started(commands.start(db.session(), g.actor, wish["type"], wish["parameters"]))}


@blp.get("/<uuid:job_id>")
@needs()
@blp.response(200, envelope(JobDetailSchema))
def show(job_id: UUID) -> dict[str, Any]:
    """One job with its result, its error and the lines of its life. Others' jobs need `jobs:list_all`."""
    return {"data": detailed(queries.get_job(db.session(), g.actor, job_id))}


@blp.delete("/<uuid:job_id>")
@needs()
@idempotent()
@blp.response(204)
def delete(job_id: UUID) -> str:
    """Delete a finished job and its result file. Others' jobs need `jobs:delete`."""
    remove_result(commands.delete(db.session(), g.actor, job_id))
    return ""


@blp.post("/<uuid:job_id>/cancel")
@needs()
@idempotent()
@blp.arguments(JobCancellation, required=False)
@blp.response(200, envelope(JobCancelledSchema))
def cancel(cancellation: dict[str, Any], job_id: UUID) -> dict[str, Any]:
    """Cancel a pending or running job; its worker stops within a second. Others' jobs need `jobs:cancel`."""
    return {"data": facts(commands.cancel(db.session(), g.actor, job_id, **cancellation))}


@blp.post("/<uuid:job_id>/retry")
@needs()
@idempotent()
@blp.response(200, envelope(JobStartedSchema))
def retry(job_id: UUID) -> dict[str, Any]:
    """Ask once more for what a failed job was to do, as a new job. Others' jobs need `jobs:retry`."""
    return {"data": started(commands.retry(db.session(), g.actor, job_id))}


@blp.get("/<uuid:job_id>/result")
@needs()
@blp.doc(responses={"200": {"description": "The file.", "content": {"application/octet-stream": FILE}}})
def result(job_id: UUID) -> Response:
    """Download the file that a job made. Each download is audited; it needs the permission that starts such a job."""
    return send_result(job_id)
