"""Figures as Prometheus reads them: its text format, version 0.0.4."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.health.report import Health, Service, Status
from domain.health.tallies import Tallies
from domain.traffic.models import BEYOND, BOUNDS_MS
from domain.traffic.queries import Total

TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass
class Family:
    """One metric: what it is, and its samples by their suffix and labels."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def add(self, value: float | None, suffix: str = "", **labels: str) -> "Family":
        """A figure that is not known has no sample: Prometheus then knows that it is missing."""
        if value is not None:
            self.samples.append((suffix, labels, float(value)))
        return self

    def lines(self) -> Iterable[str]:
        if self.samples:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} {self.kind}"
            for suffix, labels, value in self.samples:
                yield f"{self.name}{suffix}{written(labels)} {number(value)}"


def exposed(health: Health, tallies: Tallies | None) -> str:
    """Without the database, what is known without it."""
    families = [*of_health(health), *(of_tallies(tallies) if tallies else ())]
    return "".join(f"{line}\n" for family in families for line in family.lines())


def of_health(health: Health) -> list[Family]:
    info = Family("portal_info", "gauge", "Which portal this is.").add(1, version=health.version, environment=health.environment)
    up = Family("portal_service_up", "gauge", "1 while the service does its work, 0 while it does not.")
    latency = Family("portal_service_latency_seconds", "gauge", "How long the service took for the least that can be asked of it.")
    for name, service in health.services.items():
        if service.status is not Status.NOT_CONFIGURED:
            up.add(float(service.status is not Status.UNHEALTHY), service=name)
            latency.add(scaled(service, "latency_ms", 0.001), service=name)
    database, redis, storage, queue, kept = (health.services[name] for name in ("database", "redis", "storage", "queue", "backups"))
    connections = Family("portal_database_connections", "gauge", "Client connections of the database server, by their state.")
    found = database.figures.get("connections", {})
    for state in ("active", "idle", "unseen"):
        connections.add(found.get(state), state=state)
    backups = Family("portal_backups", "gauge", "Backups, by whether they can be restored.")
    for state in ("verified", "damaged"):
        backups.add(kept.figures.get(f"{state}_count"), state=state)
    archived_until = kept.figures.get("archived_until")
    return [
        info,
        up,
        latency,
        connections,
        Family("portal_database_connections_max", "gauge", "How many connections the server takes.").add(found.get("max")),
        Family("portal_redis_memory_used_bytes", "gauge", "What Redis holds.").add(scaled(redis, "memory_used_mb", 1024 * 1024)),
        Family("portal_redis_memory_max_bytes", "gauge", "What Redis may hold.").add(scaled(redis, "memory_max_mb", 1024 * 1024)),
        Family("portal_storage_used_bytes", "gauge", "What is taken of the disk or bucket.").add(scaled(storage, "used_gb", 1e9)),
        Family("portal_storage_quota_bytes", "gauge", "The size of the disk.").add(scaled(storage, "quota_gb", 1e9)),
        Family("portal_jobs_oldest_wait_seconds", "gauge", "How long the oldest due job has waited for a worker; 0 where none waits.").add(
            (queue.figures["oldest_wait_seconds"] or 0) if "oldest_wait_seconds" in queue.figures else None
        ),
        backups,
        Family("portal_backup_age_seconds", "gauge", "How old the newest backup is that can be restored; missing where there is none.").add(
            kept.figures.get("newest_age_seconds")
        ),
        Family("portal_backup_archive_lag_seconds", "gauge", "How long ago that is until when each moment can be reached.").add(
            max((health.checked_at - archived_until).total_seconds(), 0) if archived_until else None
        ),
        Family("portal_workers", "gauge", "Workers that are alive.").add(queue.figures.get("workers_alive")),
        Family("portal_web_processes", "gauge", "Web processes that are alive.").add(health.metrics.figures.get("web_processes")),
        Family("portal_uptime_seconds", "gauge", "How long the web has been up without a break.").add(
            health.metrics.figures.get("uptime_seconds")
        ),
    ]


def of_tallies(tallies: Tallies) -> list[Family]:
    jobs = Family("portal_jobs", "gauge", "Background jobs that are not deleted, by their status.")
    for status, count in tallies.jobs.items():
        jobs.add(count, status=status)
    refunds = Family("portal_refunds", "gauge", "Refunds by their status, and by how far their payment is.")
    for (status, state), count in tallies.refunds.items():
        refunds.add(count, status=status, processing=state)
    audit = Family("portal_audit_head", "gauge", "The place of the newest entry in the audit's chain.").add(tallies.audit_head)
    return [*of_traffic(tallies.requests), jobs, refunds, audit]


def of_traffic(totals: Sequence[Total]) -> list[Family]:
    requests = Family("portal_http_requests_total", "counter", "Requests that were answered, by door and class of status.")
    duration = Family("portal_http_request_duration_seconds", "histogram", "How long answering took, by door.")
    by_status: dict[tuple[str, int], int] = defaultdict(int)
    by_bound: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    spent: dict[str, int] = defaultdict(int)
    for total in totals:
        by_status[total.door, total.status_class] += total.requests
        by_bound[total.door][total.within_ms] += total.requests
        spent[total.door] += total.microseconds
    for (door, status_class), count in sorted(by_status.items()):
        requests.add(count, door=door, status=f"{status_class}xx")
    for door, counts in sorted(by_bound.items()):
        below = 0
        for bound in BOUNDS_MS:
            below += counts[bound]
            duration.add(below, "_bucket", door=door, le="+Inf" if bound == BEYOND else number(bound / 1000))
        duration.add(spent[door] / 1_000_000, "_sum", door=door).add(below, "_count", door=door)
    return [requests, duration]


def scaled(service: Service, name: str, factor: float) -> float | None:
    value = service.figures.get(name)
    return None if value is None else value * factor


def written(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 9))
