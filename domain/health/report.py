"""The state of each service, and what they make of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    NOT_CONFIGURED = "not_configured"


WORST_FIRST = (Status.UNHEALTHY, Status.DEGRADED, Status.HEALTHY, Status.NOT_CONFIGURED)


@dataclass(frozen=True)
class Service:
    """What was measured of one service. A figure that cannot be known is None, and `reasons` says why, by the figure's name.

    `error` is for whoever may not know hosts, users or paths: it says what is wrong and nothing about where.
    """

    status: Status
    error: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return self.status in (Status.HEALTHY, Status.NOT_CONFIGURED)


NOT_CONFIGURED = Service(Status.NOT_CONFIGURED)


def silent(seconds: float) -> Service:
    return Service(Status.UNHEALTHY, f"No answer within {seconds:g} seconds")


@dataclass(frozen=True)
class Health:
    """`metrics` are the figures of the whole web; None where the database, which adds them up, is away."""

    checked_at: datetime
    version: str
    environment: str
    services: Mapping[str, Service]
    metrics: Service

    @property
    def database_is_away(self) -> bool:
        return self.services["database"].status is Status.UNHEALTHY

    @property
    def status(self) -> Status:
        """Nothing works without the database; without another service something does not."""
        if self.database_is_away:
            return Status.UNHEALTHY
        return Status.HEALTHY if all(service.well for service in self.services.values()) else Status.DEGRADED

    @property
    def worst_first(self) -> list[tuple[str, Service]]:
        return sorted(self.services.items(), key=lambda found: WORST_FIRST.index(found[1].status))
