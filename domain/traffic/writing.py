"""From memory into the database, each batch once; and out of it what is a week old.

A commit whose answer was lost may have come through or not. The process's row holds the number of its newest batch that is in the
minutes, and changes in the same transaction: whoever tries again sees there whether there is anything left to do.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.leases import database_now
from domain.traffic.models import RequestMinute, WebProcess
from domain.traffic.recording import Batch, Key

GONE_AFTER = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(days=2)
KEPT = timedelta(days=7)
BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
"""The minute that the total of all older ones is kept under."""
AT_ONCE = 2000


def write(session: Session, process_id: UUID, batch: Batch) -> None:
    """Add the batch to the minutes, unless it is there, and note that its process lives."""
    moment = database_now(session)
    row = session.get(WebProcess, process_id, with_for_update=True) or arrive(session, process_id, moment)
    row.last_seen_at = moment
    if batch.number > row.batches:
        row.batches = batch.number
        add(session, batch.counts)


def arrive(session: Session, process_id: UUID, moment: datetime) -> WebProcess:
    """A new process is part of the web that is up already, if one is."""
    up_since = session.scalar(select(func.min(WebProcess.up_since)).where(WebProcess.last_seen_at > moment - GONE_AFTER))
    row = WebProcess(
        id=process_id, host=socket.gethostname()[:100], pid=os.getpid(), up_since=up_since or moment, last_seen_at=moment, batches=0
    )
    session.add(row)
    session.execute(delete(WebProcess).where(WebProcess.last_seen_at < moment - FORGOTTEN_AFTER))
    return row


def leave(session: Session, process_id: UUID) -> None:
    """This process ends in good order."""
    session.execute(delete(WebProcess).where(WebProcess.id == process_id))


def add(session: Session, counts: Mapping[Key, tuple[int, int]]) -> None:
    """In the order of their keys, so that two processes never wait for each other in a circle."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    for some in pieces(sorted(counts.items())):
        statement = insert(RequestMinute).values(
            [
                {
                    "minute": datetime.fromtimestamp(minute * 60, UTC),
                    "door": door,
                    "status_class": status_class,
                    "within_ms": within_ms,
                    "requests": requests,
                    "microseconds": microseconds,
                }
                for (minute, door, status_class, within_ms), (requests, microseconds) in some
            ]
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["minute", "door", "status_class", "within_ms"],
                set_={name: getattr(RequestMinute, name) + getattr(statement.excluded, name) for name in ("requests", "microseconds")},
            )
        )


def pieces(items: list[tuple[Key, tuple[int, int]]]) -> Iterable[list[tuple[Key, tuple[int, int]]]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def fold_old(session: Session) -> None:
    """Add what is older than a week to the total, so that counters never go back."""
    taken = session.execute(
        delete(RequestMinute)
        .where(RequestMinute.minute < now() - KEPT, RequestMinute.minute > BEFORE_ALL)
        .returning(
            RequestMinute.door,
            RequestMinute.status_class,
            RequestMinute.within_ms,
            RequestMinute.requests,
            RequestMinute.microseconds,
        )
    ).all()
    requests: Counter[Key] = Counter()
    microseconds: Counter[Key] = Counter()
    for row in taken:
        key = (0, row.door, row.status_class, row.within_ms)
        requests[key] += row.requests
        microseconds[key] += row.microseconds
    add(session, {key: (requests[key], microseconds[key]) for key in requests})
