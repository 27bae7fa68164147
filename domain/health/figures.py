"""What the database knows of the health of the whole: its own connections, the queue, the web."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from domain.access import SYSTEM, Actor, Permission
from domain.db import now
from domain.health.checks import TOO_LONG_A_WAIT
from domain.health.report import Service, Status
from domain.jobs import counts, workers
from domain.jobs.models import Job, JobStatus
from domain.jobs.queries import queue_now
from domain.traffic import queries as traffic

CONNECTIONS = text(
    "SELECT count(*) FILTER (WHERE state = 'active'),"
    " count(*) FILTER (WHERE state <> 'active'),"
    " count(*) FILTER (WHERE state IS NULL),"
    " current_setting('max_connections')::int"
    " FROM pg_stat_activity WHERE backend_type = 'client backend'"
)
UNCOUNTED = "SQLite is a file that each process opens for itself: nobody counts who has it open"


def connections(session: Session, actor: Actor) -> tuple[dict[str, Any], dict[str, str]]:
    """The server's client connections, and why a number is missing. `unseen` are other users', whose state PostgreSQL does not tell us."""
    actor.require(Permission.SYSTEM_HEALTH)
    if session.get_bind().dialect.name != "postgresql":
        names = ("active", "idle", "unseen", "max")
        return dict.fromkeys(names), dict.fromkeys((f"connections.{name}" for name in names), UNCOUNTED)
    active, idle, unseen, most = session.execute(CONNECTIONS).one()
    return {"active": active, "idle": idle, "unseen": unseen, "max": most}, {}


def queue(session: Session, actor: Actor) -> Service:
    """Jobs that wait, run and failed, and whether anybody works on them."""
    actor.require(Permission.SYSTEM_HEALTH)
    moment = now()
    due, running, oldest = queue_now(session, SYSTEM, moment)  # everybody's, whatever jobs this actor may see
    pending = session.scalar(select(counts.number_of(JobStatus.PENDING))) or 0
    failed = select(func.count()).where(Job.finished_at > moment - traffic.DAY, Job.status == JobStatus.FAILED, Job.deleted_at.is_(None))
    living = workers.living(session)
    wait = max(round((moment - oldest).total_seconds()), 0) if oldest else None
    figures = {
        "pending_jobs": pending,
        "due_jobs": due,
        "processing_jobs": running,
        "failed_jobs_24h": session.scalar(failed) or 0,
        "oldest_wait_seconds": wait,
        "workers_alive": len(living),
        "worker_threads": sum(worker.threads for worker in living),
    }
    reasons = {} if oldest else {"oldest_wait_seconds": "No job waits for a worker"}
    if not living:
        return Service(Status.UNHEALTHY, "No worker is running", figures, reasons)
    if (wait or 0) > TOO_LONG_A_WAIT.total_seconds():
        return Service(Status.DEGRADED, "The oldest job has waited for more than 10 minutes", figures, reasons)
    return Service(Status.HEALTHY, None, figures, reasons)


def metrics(session: Session, actor: Actor) -> Service:
    """The last 24 hours of the web. An error is an answer of 500 or above; a request is any but those that ask after the web's health."""
    day, web, moment = traffic.last_day(session, actor), traffic.web(session, actor), now()
    figures = {
        "uptime_seconds": max(int((moment - web.up_since).total_seconds()), 0) if web.up_since else None,
        "request_count_24h": day.requests,
        "avg_response_time_ms": rounded(day.mean_ms, 1),
        "p95_response_time_ms": rounded(day.p95_ms, 1),
        "error_count_24h": day.errors,
        "error_rate_percent": rounded(day.error_percent, 3),
        "web_processes": web.processes,
    }
    reasons = {}
    if not day.requests:
        nothing = "No request was answered in the last 24 hours"
        reasons = dict.fromkeys(("avg_response_time_ms", "p95_response_time_ms", "error_rate_percent"), nothing)
    if web.up_since is None:
        reasons["uptime_seconds"] = "No web process has reported itself yet"
    return Service(Status.HEALTHY, None, figures, reasons)


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
