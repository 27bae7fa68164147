"""How often something may be tried, counted in the database, where every process sees it and no restart forgets it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import String, case, delete, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from domain.db import Base, Timestamp, now, read_only
from domain.errors import RateLimited


class ThrottleCounter(Base):
    """The tries of one subject since its window began; the window begins with the first try."""

    __tablename__ = "throttle_counters"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)  # a hash: no address and no e-mail is kept
    window_start: Mapped[Timestamp]
    tries: Mapped[int]


@dataclass(frozen=True)
class Limit:
    """So many tries in so long; `name` is what they are counted under."""

    name: str
    tries: int
    period: timedelta


@contextmanager
def separately(session: Session) -> Iterator[Session]:
    """A transaction of its own, that stays whatever becomes of the caller's.

    The caller's must not have begun: on SQLite it holds the only write lock there is, and this one would wait for it in vain.
    """
    assert not session.in_transaction(), "commit or roll back first: what follows has a transaction of its own"
    with read_only(False), Session(session.get_bind(), expire_on_commit=False) as own, own.begin():
        yield own


@dataclass(frozen=True)
class Blocked:
    """One try too many: the moment from which the next is allowed, and whether this is the first refused in its window."""

    until: datetime
    first: bool


def count_try(session: Session, limit: Limit, subject: str) -> Blocked | None:
    """Count one try; None where it is allowed. One statement, so that tries at the same time are all counted, each once."""
    moment = now()
    over = ThrottleCounter.window_start <= moment - limit.period
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    counted = session.execute(
        insert(ThrottleCounter)
        .values(name=limit.name, subject=hashed(subject), window_start=moment, tries=1)
        .on_conflict_do_update(
            index_elements=["name", "subject"],
            set_={
                "tries": case((over, 1), else_=ThrottleCounter.tries + 1),
                "window_start": case((over, moment), else_=ThrottleCounter.window_start),
            },
        )
        .returning(ThrottleCounter.tries, ThrottleCounter.window_start)
    ).one()
    if counted.tries <= limit.tries:
        return None
    return Blocked(counted.window_start + limit.period, first=counted.tries == limit.tries + 1)


def forgive(session: Session, limit: Limit, subject: str) -> None:
    """Forget every try of the subject."""
    session.execute(delete(ThrottleCounter).filter_by(name=limit.name, subject=hashed(subject)))


def give_back(session: Session, limit: Limit, subject: str) -> None:
    """Take one try off the count, since it turned out to be a good one."""
    session.execute(
        update(ThrottleCounter)
        .filter_by(name=limit.name, subject=hashed(subject))
        .where(ThrottleCounter.tries > 0)
        .values(tries=ThrottleCounter.tries - 1)
    )


def hashed(subject: str) -> str:
    return sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()


def refusal(blocked: Blocked, what: str) -> RateLimited:
    """The error for a try that was one too many, with the time left in words a person reads."""
    seconds = max(1, math.ceil((blocked.until - now()).total_seconds()))
    left = f"{seconds} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
    return RateLimited(f"{what} Try again in {left}.", retry_after=seconds)
