"""What may be a few minutes old, kept where every process finds it. Losing any of it costs time and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import String, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from domain.db import Base, JsonObject, Timestamp, now

REDIS_PREFIX = "portal:cache:"
"""What the names begin with under which Redis keeps it."""


@dataclass(frozen=True)
class Kept:
    """A value and when it was made."""

    value: dict[str, Any]
    made_at: datetime

    @property
    def age_seconds(self) -> int:
        return max(int((now() - self.made_at).total_seconds()), 0)


class Cache(Protocol):
    def get(self, name: str) -> Kept | None:
        """What is kept under this name, if its time is not over."""
        ...

    def put(self, name: str, kept: Kept, lasts: timedelta) -> None:
        """Keep it if that is possible right now."""
        ...


class NoCache:
    """Keeps nothing."""

    def get(self, name: str) -> Kept | None:
        return None

    def put(self, name: str, kept: Kept, lasts: timedelta) -> None:
        pass


def remembered(cache: Cache, name: str, lasts: timedelta, make: Callable[[], dict[str, Any]]) -> Kept:
    """What is kept under this name, or else made now and kept."""
    kept = cache.get(name)
    if kept is None:
        made_at = now()  # before the making: an age is never told too young
        kept = Kept(make(), made_at)
        cache.put(name, kept, lasts)
    return kept


class CacheEntry(Base):
    """Where there is no Redis, the database is the place that all processes share."""

    __tablename__ = "cache_entries"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[JsonObject]
    made_at: Mapped[Timestamp]
    expires_at: Mapped[Timestamp]


def read_entry(session: Session, name: str) -> Kept | None:
    row = session.execute(
        select(CacheEntry.value, CacheEntry.made_at).where(CacheEntry.name == name, CacheEntry.expires_at > now())
    ).first()
    return Kept(row.value, row.made_at) if row else None


def write_entry(session: Session, name: str, kept: Kept, lasts: timedelta) -> None:
    """Keep it, unless somebody has kept a younger one meanwhile; what is over is thrown away by the way."""
    session.execute(delete(CacheEntry).where(CacheEntry.expires_at <= now()))
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    new = {"value": kept.value, "made_at": kept.made_at, "expires_at": kept.made_at + lasts}
    statement = insert(CacheEntry).values(name=name, **new)
    session.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_=new, where=CacheEntry.made_at < statement.excluded.made_at)
    )
