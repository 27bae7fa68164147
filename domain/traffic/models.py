"""The tables: what was answered per minute, and which processes answer."""

from __future__ import annotations

from sqlalchemy import BigInteger, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from domain.db import Base, Identified, Timestamp

BEYOND = 2**31 - 1
BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, BEYOND)


class RequestMinute(Base):
    """The requests that came to one door in one minute, were answered with one class of status and took up to so many milliseconds."""

    __tablename__ = "request_minutes"

    minute: Mapped[Timestamp] = mapped_column(primary_key=True)
    door: Mapped[str] = mapped_column(String(10), primary_key=True)
    status_class: Mapped[int] = mapped_column(SmallInteger(), primary_key=True)
    within_ms: Mapped[int] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger())
    microseconds: Mapped[int] = mapped_column(BigInteger())


class WebProcess(Identified):
    """`up_since` is when the web came up that this process is part of; `batches` is how many of its batches are in the minutes."""

    __tablename__ = "web_processes"

    host: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]
    up_since: Mapped[Timestamp]
    last_seen_at: Mapped[Timestamp]
    batches: Mapped[int] = mapped_column(BigInteger())
