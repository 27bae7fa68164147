"""The page's parts: each service in words and meters, the last 24 hours as bars."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from flask import g, url_for
from sqlalchemy.orm import Session

from domain.access import SYSTEM, Actor, Permission
from domain.health.report import Health, Service, Status
from domain.jobs.queries import pulse
from domain.traffic import queries as traffic
from domain.traffic.queries import TrafficHour
from portal.charts import Chart, Series, bar_chart
from portal.formats import abbreviation, age, number, zone, zone_words
from portal.jobs.listing import chart as jobs_chart


@dataclass(frozen=True)
class Look:
    word: str
    tone: str
    icon: str


STATUSES = {
    Status.HEALTHY: Look("Healthy", "success", "circle-check"),
    Status.DEGRADED: Look("Degraded", "warning", "triangle-alert"),
    Status.UNHEALTHY: Look("Unhealthy", "danger", "circle-x"),
    Status.NOT_CONFIGURED: Look("Not set up", "neutral", "circle-dashed"),
}
NAMES = {"database": "Database", "redis": "Redis", "storage": "Storage", "queue": "Job queue", "backups": "Backups"}
ICONS = {"database": "database", "redis": "memory-stick", "storage": "hard-drive", "queue": "layers", "backups": "shield-check"}
PROVIDERS = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "local": "Local folder", "s3": "S3 bucket"}
CROWDED = 0.85
DASH = "—"


@dataclass(frozen=True)
class Meter:
    """How much of a limit is taken, in words too."""

    label: str
    words: str
    value: float
    most: float

    @property
    def crowded(self) -> bool:
        return self.value > CROWDED * self.most


@dataclass(frozen=True)
class Card:
    name: str
    icon: str
    look: Look
    kind: str
    error: str | None
    latency: str | None
    meter: Meter | None
    facts: list[tuple[str, str]]
    notes: list[str]
    """Why a figure is missing."""
    url: str | None


def context(session: Session, actor: Actor, health: Health) -> dict[str, Any]:
    hours = traffic.by_hour(session, actor)
    return {
        **heading(health),
        "cards": [card(name, service) for name, service in health.worst_first],
        "figures": figures(health),
        "charts": [requests_chart(hours), latency_chart(hours), jobs_chart(pulse(session, SYSTEM).hours)],
        "about": about(health),
        "now_url": url_for("portal.health.now"),
    }


def away(health: Health) -> dict[str, Any]:
    """The same without anything that only somebody who was looked up may know."""
    short = [(name, replace(service, figures={}, reasons={})) for name, service in health.worst_first if name in ("database", "redis")]
    return {**heading(health), "cards": [card(name, service) for name, service in short], "again_url": url_for("portal.health.index")}


def lost(health: Health) -> Health:
    return replace(health, services={**health.services, "database": Service(Status.UNHEALTHY, "Connection lost")})


def heading(health: Health) -> dict[str, Any]:
    ill = [NAMES[name] for name, service in health.worst_first if not service.well]
    if not ill:
        said = "Everything works."
    elif health.database_is_away:
        said = "Without its database the portal can do nothing. Pages and calls are answered with 503 until it is back."
    else:
        one = len(ill) == 1 and ill != [NAMES["backups"]]
        said = f"{' and '.join(ill) if len(ill) < 3 else ', '.join(ill)} {'needs' if one else 'need'} a look; the rest works."
    return {"look": STATUSES[health.status], "said": said, "checked_at": health.checked_at, "checked_clock": clock(health)}


def clock(health: Health) -> str:
    """In the reader's zone, where anybody knows who reads."""
    local = health.checked_at.astimezone(zone() if "actor" in g else UTC)
    return f"{local:%H:%M:%S} {abbreviation(local)}"


def card(name: str, service: Service) -> Card:
    told = service.figures
    meter, facts = DETAILS[name](told) if told else (None, [])
    return Card(
        name=NAMES[name],
        icon=ICONS[name],
        look=STATUSES[service.status],
        kind=PROVIDERS.get(str(told.get("provider")), "") or ("REDIS_URL is not set" if service.status is Status.NOT_CONFIGURED else ""),
        error=service.error,
        latency=f"{decimal(told['latency_ms'])} ms" if told.get("latency_ms") is not None else None,
        meter=meter,
        facts=facts,
        notes=sorted(set(service.reasons.values()) - UNREMARKABLE - {service.error}),
        url=url_for("portal.backups.index") if name == "backups" and may_see_backups() else None,
    )


def may_see_backups() -> bool:
    return "actor" in g and (g.actor.can(Permission.SYSTEM_BACKUP) or g.actor.can(Permission.SYSTEM_RESTORE))


UNREMARKABLE = {"No job waits for a worker", "BACKUP_EVERY_HOURS is 0: none is made by itself", "No backup can be restored"}
"""Reasons that the figure's own place says already."""

Details = tuple[Meter | None, list[tuple[str, str]]]


def database(told: Any) -> Details:
    found = told.get("connections") or {}
    if found.get("max") is None:
        return None, []
    used = found["active"] + found["idle"] + found["unseen"]
    meter = Meter("Connections", f"{number(used)} of {number(found['max'])}", used, found["max"])
    facts = [("At work", number(found["active"])), ("Idle", number(found["idle"]))]
    return meter, facts + ([("Other users'", number(found["unseen"]))] if found["unseen"] else [])


def redis(told: Any) -> Details:
    used, most = told["memory_used_mb"], told["memory_max_mb"]
    if most is None:
        return None, [("Memory", f"{decimal(used)} MB")]
    return Meter("Memory", f"{decimal(used)} of {decimal(most)} MB", used, most), []


def storage(told: Any) -> Details:
    used, quota = told.get("used_gb"), told.get("quota_gb")
    meter = Meter("Disk", f"{gigabytes(used)} of {gigabytes(quota)}", used, quota) if used is not None and quota else None
    files = told.get("files_count")
    if files is None:
        return meter, []
    counted = age(told["files_counted_at"])
    return meter, [("Our files", number(files)), ("Their size", gigabytes(told["files_gb"])), ("Counted", f"{counted} ago")]


def queue(told: Any) -> Details:
    wait = told["oldest_wait_seconds"]
    return None, [
        ("Waiting", number(told["pending_jobs"])),
        ("Running", number(told["processing_jobs"])),
        ("Oldest wait", DASH if wait is None else duration(wait)),
        ("Failed, 24 h", number(told["failed_jobs_24h"])),
        ("Workers", number(told["workers_alive"])),
        ("Their threads", number(told["worker_threads"])),
    ]


def backups(told: Any) -> Details:
    newest, damaged, hours = told["newest_verified_at"], told["damaged_count"], told["every_hours"]
    return None, [
        ("Newest verified", f"{age(newest)} ago" if newest else "None"),
        ("Kept", number(told["backup_count"])),
        ("By itself", f"every {number(hours)} h" if hours else "Never"),
        *([("On disk", gigabytes(told["disk_gb"]))] if told["disk_gb"] is not None else []),
        *([("Of it the archive", gigabytes(told["archive_gb"]))] if told["archive_gb"] else []),
        *([("Changes kept", f"until {age(told['archived_until'])} ago")] if told["archived_until"] else []),
        *([("Damaged", number(damaged))] if damaged else []),
    ]


DETAILS = {"database": database, "redis": redis, "storage": storage, "queue": queue, "backups": backups}


def figures(health: Health) -> list[dict[str, Any]]:
    """The five large numbers; whoever has none says why."""
    told, reasons = health.metrics.figures, health.metrics.reasons

    def figure(word: str, name: str, show: Any, more: str = "", late: bool = False) -> dict[str, Any]:
        value = told.get(name)
        said = DASH if value is None else show(value)
        return {"word": word, "value": said, "more": more if value is not None else "", "why": reasons.get(name), "late": late}

    errors = told.get("error_count_24h") or 0
    p95 = told.get("p95_response_time_ms")
    return [
        figure("Up for", "uptime_seconds", duration),
        figure("Requests, 24 h", "request_count_24h", number),
        figure("Mean answer", "avg_response_time_ms", milliseconds, f"95 % within {milliseconds(p95)}" if p95 is not None else ""),
        figure(
            "Errors, 24 h",
            "error_rate_percent",
            lambda value: f"{decimal(value)} %",
            f"{number(errors)} answers" if errors else "",
            errors > 0,
        ),
    ]


def about(health: Health) -> list[tuple[str, str]]:
    processes = health.metrics.figures.get("web_processes")
    return [
        ("Version", health.version),
        ("Environment", health.environment),
        ("Web processes", DASH if processes is None else number(processes)),
        ("Times in", zone_words()),
    ]


def requests_chart(hours: Sequence[TrafficHour]) -> Chart:
    total, errors = sum(hour.traffic.requests for hour in hours), sum(hour.traffic.errors for hour in hours)
    return bar_chart(
        "Requests per hour, last 24 h",
        clocks(hours),
        [
            Series("Errors", [hour.traffic.errors for hour in hours], "danger"),
            Series("Answered", [hour.traffic.requests - hour.traffic.errors for hour in hours]),
        ],
        marks=[*clocks(hours)[::6], "now"],
        summary=f"{number(total)} requests in the last 24 hours, {number(errors)} of them errors.",
        nothing="No request was answered in the last 24 hours.",
    )


def latency_chart(hours: Sequence[TrafficHour]) -> Chart:
    slowest = max((hour.traffic.p95_ms or 0 for hour in hours), default=0)
    return bar_chart(
        "95 % answered within, by hour",
        clocks(hours),
        [Series("95 % within", [hour.traffic.p95_ms for hour in hours])],
        marks=[*clocks(hours)[::6], "now"],
        summary=f"In the slowest hour of the last 24, 95 % of the requests were answered within {milliseconds(slowest)}.",
        nothing="No request was answered in the last 24 hours.",
        figure=milliseconds,
        least_top=100,
    )


def clocks(hours: Sequence[TrafficHour]) -> list[str]:
    return [f"{hour.start.astimezone(zone()):%H:%M}" for hour in hours]


def duration(seconds: float) -> str:
    """Two of its largest units: 12 d 4 h."""
    left = int(seconds)
    words: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or words or unit == "s":
            words.append(f"{left // size} {unit}")
            left %= size
        if len(words) == 2 or (words and not left):
            break
    return " ".join(words)


def milliseconds(value: float) -> str:
    return f"{decimal(value / 1000)} s" if value >= 10_000 else f"{decimal(value)} ms"


def gigabytes(value: float) -> str:
    return f"{decimal(value * 1000)} MB" if value < 1 else f"{decimal(value)} GB"


def decimal(value: float) -> str:
    """With a fraction where there is little in front of it."""
    return number(round(value) if value >= 100 else round(value, 1) if value >= 1 else round(value, 2))
