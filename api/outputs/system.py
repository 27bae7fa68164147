"""The portal's health as programs see it: the figures that the dashboards were promised, and a reason for each that is null."""

from typing import Any

from marshmallow import Schema, fields, validate

from api.outputs.fields import Moment
from domain.health.report import Health, Service, Status

STATES = validate.OneOf([status.value for status in Status])


def about(text: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"description": text}, **more}


def figure(kind: type[fields.Field[Any]], text: str = "") -> fields.Field[Any]:
    """Present whenever the service was asked with success; null with a word in `reasons`."""
    return kind(allow_none=True, **(about(text) if text else {}))


class ServiceSchema(Schema):
    status = fields.String(required=True, validate=STATES)
    error = fields.String(allow_none=True, **about("What is wrong; null where nothing is."))
    reasons = fields.Dict(
        keys=fields.String(), values=fields.String(), **about("Why a figure is null, by its name; left out where none is.")
    )


class ConnectionsSchema(Schema):
    active = figure(fields.Integer, "Connections of the server that work on a statement.")
    idle = figure(fields.Integer)
    unseen = figure(fields.Integer, "Connections of other users, whose state PostgreSQL does not tell.")
    max = figure(fields.Integer)


class DatabaseSchema(ServiceSchema):
    provider = fields.String(**about("`postgresql` or `sqlite`."))
    latency_ms = figure(fields.Float)
    connections = fields.Nested(ConnectionsSchema)


class RedisSchema(ServiceSchema):
    latency_ms = figure(fields.Float)
    memory_used_mb = figure(fields.Float)
    memory_max_mb = figure(fields.Float)


class StorageSchema(ServiceSchema):
    provider = fields.String(**about("`local` or `s3`."))
    latency_ms = figure(fields.Float)
    used_gb = figure(fields.Float, "What is taken of the disk, by whomever; of a bucket, what our own files amount to.")
    quota_gb = figure(fields.Float, "The size of the disk.")
    files_gb = figure(fields.Float, "What our own files amount to, counted once an hour.")
    files_count = figure(fields.Integer)
    files_counted_at = Moment(allow_none=True)


class QueueSchema(ServiceSchema):
    pending_jobs = figure(fields.Integer)
    due_jobs = figure(fields.Integer, "Those of the pending whose time has come.")
    processing_jobs = figure(fields.Integer)
    failed_jobs_24h = figure(fields.Integer)
    oldest_wait_seconds = figure(fields.Integer, "How long the oldest due job has waited for a worker.")
    workers_alive = figure(fields.Integer)
    worker_threads = figure(fields.Integer)


class BackupsSchema(ServiceSchema):
    newest_verified_at = Moment(allow_none=True, **about("As of when the newest backup is that can be restored with all it stands on."))
    newest_age_seconds = figure(fields.Integer)
    backup_count = figure(fields.Integer)
    verified_count = figure(fields.Integer)
    damaged_count = figure(fields.Integer, "Those that were found damaged, stand on one that was, or cannot be read.")
    stored_gb = figure(fields.Float)
    disk_gb = figure(fields.Float, "All that BACKUP_DIR holds. A worker counts it once an hour.")
    uploads_gb = figure(fields.Float, "Of that, contents of stored files, each once for all backups.")
    archive_gb = figure(fields.Float, "Of that, what changed between backups.")
    replaced_gb = figure(fields.Float, "Of that, what restores replaced, for as long as it can be put back.")
    disk_counted_at = Moment(allow_none=True)
    every_hours = figure(fields.Integer, "How often a full one is made without being asked for.")
    archived_until = Moment(allow_none=True, **about("Until when what changes between backups is kept, so that any moment can be reached."))


class ServicesSchema(Schema):
    database = fields.Nested(DatabaseSchema, required=True)
    redis = fields.Nested(RedisSchema, required=True)
    storage = fields.Nested(StorageSchema, required=True)
    queue = fields.Nested(QueueSchema, required=True)
    backups = fields.Nested(BackupsSchema, required=True)


class MetricsSchema(Schema):
    uptime_seconds = figure(
        fields.Integer, "Since when some process of the web has been there at every moment, however often each was replaced."
    )
    request_count_24h = figure(fields.Integer, "Requests to the API and the pages; not those to /healthz, /readyz, /metrics and for files.")
    avg_response_time_ms = figure(fields.Float)
    p95_response_time_ms = figure(fields.Float, "Estimated from a histogram.")
    error_count_24h = figure(fields.Integer, "Requests that were answered with 500 or above.")
    error_rate_percent = figure(fields.Float)
    web_processes = figure(fields.Integer)
    reasons = fields.Dict(keys=fields.String(), values=fields.String())


class HealthSchema(Schema):
    status = fields.String(required=True, validate=validate.OneOf(["healthy", "degraded"]))
    timestamp = Moment(required=True)
    version = fields.String(required=True)
    environment = fields.String(required=True)
    services = fields.Nested(ServicesSchema, required=True)
    metrics = fields.Nested(MetricsSchema, required=True)


class ShortServiceSchema(Schema):
    status = fields.String(required=True, validate=STATES)
    error = fields.String()


class ShortServicesSchema(Schema):
    database = fields.Nested(ShortServiceSchema, required=True)
    redis = fields.Nested(ShortServiceSchema, required=True)


class UnhealthySchema(Schema):
    status = fields.Constant("unhealthy", metadata={"type": "string"})
    services = fields.Nested(ShortServicesSchema, required=True)


class UnhealthyAnswer(Schema):
    success = fields.Constant(False, metadata={"type": "boolean", "const": False})
    data = fields.Nested(UnhealthySchema, required=True)


def told(health: Health) -> dict[str, Any]:
    return {
        "status": health.status,
        "timestamp": health.checked_at,
        "version": health.version,
        "environment": health.environment,
        "services": {name: whole(found) for name, found in health.services.items()},
        "metrics": figures_of(health.metrics),
    }


def whole(service: Service) -> dict[str, Any]:
    if service.status is Status.NOT_CONFIGURED:
        return {"status": service.status}
    return {"status": service.status, "error": service.error, **figures_of(service)}


def figures_of(service: Service) -> dict[str, Any]:
    return {**service.figures, **({"reasons": service.reasons} if service.reasons else {})}


def told_shortly(health: Health) -> dict[str, Any]:
    """For a caller whom nobody could look up: who is ill, and nothing else."""
    return {
        "status": health.status,
        "services": {name: shortly(health.services[name]) for name in ("database", "redis")},
    }


def shortly(service: Service) -> dict[str, Any]:
    return {"status": service.status, **({"error": service.error} if service.error else {})}
