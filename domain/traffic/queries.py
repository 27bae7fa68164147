"""Reading the minutes: the last 24 hours, by the hour, and the totals since the beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.db import now
from domain.jobs.leases import database_now
from domain.jobs.queries import hour_of
from domain.traffic.models import BEYOND, BOUNDS_MS, RequestMinute, WebProcess
from domain.traffic.writing import GONE_AFTER

SERVER_ERROR = 5
DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Traffic:
    """Requests of some span of time: how many, how many of them failed by our own fault, and how long they took."""

    requests: int = 0
    errors: int = 0
    microseconds: int = 0
    by_bound: Mapping[int, int] = field(default_factory=dict)

    @property
    def mean_ms(self) -> float | None:
        return self.microseconds / self.requests / 1000 if self.requests else None

    @property
    def error_percent(self) -> float | None:
        return 100 * self.errors / self.requests if self.requests else None

    @property
    def p95_ms(self) -> float | None:
        """Within its bounds as if they were evenly filled, as Prometheus has it; the last bound that has a number where it is beyond."""
        if not self.requests:
            return None
        rank, before, lower = 0.95 * self.requests, 0, 0
        for bound in BOUNDS_MS:
            count = self.by_bound.get(bound, 0)
            if count and before + count >= rank:
                return float(lower) if bound == BEYOND else lower + (bound - lower) * (rank - before) / count
            before, lower = before + count, bound
        return float(lower)


@dataclass(frozen=True)
class TrafficHour:
    start: datetime
    traffic: Traffic


@dataclass(frozen=True)
class Web:
    """The processes that answer, and since when the web has been up: some process has been there at every moment since."""

    processes: int
    up_since: datetime | None


def last_day(session: Session, actor: Actor) -> Traffic:
    actor.require(Permission.SYSTEM_HEALTH)
    rows = session.execute(
        select(RequestMinute.status_class, RequestMinute.within_ms, func.sum(RequestMinute.requests), func.sum(RequestMinute.microseconds))
        .where(RequestMinute.minute > now() - DAY)
        .group_by(RequestMinute.status_class, RequestMinute.within_ms)
    )
    return summed([(status_class, bound, int(requests), int(spent)) for status_class, bound, requests, spent in rows])


def by_hour(session: Session, actor: Actor) -> Sequence[TrafficHour]:
    """The last 24 hours, the present one included, whether or not anything came."""
    actor.require(Permission.SYSTEM_HEALTH)
    since = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    hour = hour_of(session, RequestMinute.minute.expression)
    rows = session.execute(
        select(
            hour,
            RequestMinute.status_class,
            RequestMinute.within_ms,
            func.sum(RequestMinute.requests),
            func.sum(RequestMinute.microseconds),
        )
        .where(RequestMinute.minute >= since)
        .group_by(hour, RequestMinute.status_class, RequestMinute.within_ms)
    )
    found: dict[datetime, list[tuple[int, int, int, int]]] = {since + timedelta(hours=number): [] for number in range(24)}
    for start, status_class, bound, requests, spent in rows:
        found.setdefault(datetime.fromisoformat(start).replace(tzinfo=UTC), []).append((status_class, bound, int(requests), int(spent)))
    return [TrafficHour(start, summed(kinds)) for start, kinds in sorted(found.items())[:24]]


def summed(kinds: Sequence[tuple[int, int, int, int]]) -> Traffic:
    by_bound: dict[int, int] = {}
    for _, bound, requests, _ in kinds:
        by_bound[bound] = by_bound.get(bound, 0) + requests
    return Traffic(
        requests=sum(requests for _, _, requests, _ in kinds),
        errors=sum(requests for status_class, _, requests, _ in kinds if status_class == SERVER_ERROR),
        microseconds=sum(spent for _, _, _, spent in kinds),
        by_bound=by_bound,
    )


@dataclass(frozen=True)
class Total:
    """All requests there ever were of one kind."""

    door: str
    status_class: int
    within_ms: int
    requests: int
    microseconds: int


def totals(session: Session, actor: Actor) -> Sequence[Total]:
    actor.require(Permission.SYSTEM_HEALTH)
    kind = (RequestMinute.door, RequestMinute.status_class, RequestMinute.within_ms)
    rows = session.execute(
        select(*kind, func.sum(RequestMinute.requests), func.sum(RequestMinute.microseconds)).group_by(*kind).order_by(*kind)
    )
    return [Total(door, status_class, bound, int(requests), int(spent)) for door, status_class, bound, requests, spent in rows]


def web(session: Session, actor: Actor) -> Web:
    actor.require(Permission.SYSTEM_HEALTH)
    alive = WebProcess.last_seen_at > database_now(session) - GONE_AFTER
    processes, up_since = session.execute(select(func.count(), func.min(WebProcess.up_since)).where(alive)).one()
    return Web(processes, up_since)
