"""Jobs as programs see them: the frontend's names, field by field, and what it may find useful beside them."""

from typing import Any

from flask import url_for
from marshmallow import Schema, fields

from api.outputs.fields import Moment
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import JobDetail, JobRow
from domain.jobs.types import JOB_TYPES

STATUSES = [str(status) for status in JobStatus]


class CreatorPart(Schema):
    id = fields.UUID()
    name = fields.String()


class JobErrorPart(Schema):
    code = fields.String(metadata={"description": "For programs: `WORKER_LOST`, for instance."})
    message = fields.String(metadata={"description": "For people."})


class JobSchema(Schema):
    id = fields.UUID()
    type = fields.String(metadata={"description": f"One of {', '.join(JOB_TYPES)}; versions to come may add others."})
    status = fields.String(metadata={"enum": STATUSES})
    progress_percent = fields.Integer()
    stage = fields.String(allow_none=True, metadata={"description": "What it is doing, or waiting for."})
    eta_seconds = fields.Integer(allow_none=True, metadata={"description": "A guess from its progress; null where there is none."})
    created_at = Moment()
    started_at = Moment(allow_none=True)
    finished_at = Moment(allow_none=True)
    cancelled_at = Moment(allow_none=True)
    creator = fields.Nested(CreatorPart, allow_none=True, metadata={"description": "Null for jobs of the system."})
    metadata = fields.Dict(metadata={"description": "What it was asked for."})
    attempts = fields.Integer(metadata={"description": "How often a worker began it."})
    error = fields.Nested(JobErrorPart, allow_none=True)
    result_url = fields.String(allow_none=True, metadata={"description": "Where its file is; null where there is none."})
    result_expired_at = Moment(
        allow_none=True, metadata={"description": "When its file, `JOB_RETENTION_DAYS` after the job's end, was removed; else null."}
    )


class JobEventPart(Schema):
    at = Moment()
    event = fields.String()
    message = fields.String(allow_none=True)


class JobDetailSchema(JobSchema):
    result = fields.Dict(allow_none=True)
    cancelled_by = fields.UUID(allow_none=True)
    cancel_reason = fields.String(allow_none=True)
    cancel_acknowledged_at = Moment(
        allow_none=True, metadata={"description": "When its worker had stopped and removed its files; null while it is about to."}
    )
    events = fields.List(fields.Nested(JobEventPart), metadata={"description": "The latest 200 lines of its life, the oldest first."})


class JobCancelledSchema(Schema):
    id = fields.UUID()
    status = fields.String(metadata={"enum": ["cancelled"]})
    cancelled_at = Moment()
    cancelled_by = fields.UUID()


class JobStartedSchema(Schema):
    job_id = fields.UUID()
    status = fields.String(metadata={"enum": ["pending"]})
    type = fields.String()
    metadata = fields.Dict()


def listed(row: JobRow) -> dict[str, Any]:
    job = row.job
    return facts(job) | {
        "eta_seconds": row.eta_seconds,
        "creator": None if job.creator_id is None else {"id": job.creator_id, "name": row.creator_name},
        "metadata": job.payload,
        "result_url": None if job.result_file is None else url_for("jobs.result", job_id=job.id),
    }


def facts(job: Job) -> dict[str, Any]:
    names = [*JobDetailSchema._declared_fields]
    return {name: getattr(job, name) for name in names if name in Job.__mapper__.column_attrs}


def detailed(detail: JobDetail) -> dict[str, Any]:
    return listed(detail) | {"events": detail.events}


def started(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "status": job.status, "type": job.type, "metadata": job.payload}
