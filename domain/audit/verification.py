"""Is the chain whole? Every link is computed anew and compared, from the first to the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import GENESIS, digest

AT_ONCE = 1000
COLUMNS = tuple(getattr(AuditEntry, column.key) for column in AuditEntry.__table__.columns)


@dataclass(frozen=True)
class Link:
    """A place in the chain: noted outside the database, it also shows whether the end was cut off."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


BEGINNING = Link(0, GENESIS)


@dataclass(frozen=True)
class Break:
    """The first link that does not hold, and what is wrong with it."""

    sequence: int
    what: str


@dataclass(frozen=True)
class Finding:
    """How many entries hold, and the last of them."""

    entries: int
    head: Link
    broken: Break | None = None

    @property
    def whole(self) -> bool:
        return self.broken is None


def get_head(session: Session) -> Link:
    """The end of the chain as it is now: what a backup notes, and what `verify` holds an older chain against."""
    head = session.scalars(select(AuditHead)).one()
    return Link(head.sequence, head.hash)


def verify(
    session: Session, actor: Actor, noted: Link | None = None, tell: Callable[[int, int], object] = lambda done, of: None
) -> Finding:
    """Walk the whole chain, a thousand entries at a time; `noted` is an earlier head that must still be part of it.

    `tell` hears how many entries of how many are done, and may raise to stop.
    """
    actor.require(Permission.AUDIT_LIST)
    if session.get_bind().dialect.name == "postgresql" and not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})  # others go on writing: one moment's view
    heads = session.execute(select(AuditHead.sequence, AuditHead.hash)).all()
    before, count = BEGINNING, 0
    while entries := read_on(session, before if count else None):
        for sequence, entry in entries:
            problem = Break(sequence, UNREADABLE) if entry is None else wrong_with(entry, before)
            if problem is None and noted and noted.sequence == sequence and noted.hash != entry.hash:
                problem = Break(sequence, "it is not the entry that was noted under this number")
            if problem:
                return Finding(count, before, problem)
            before, count = Link(sequence, entry.hash), count + 1
        tell(count, heads[0].sequence if heads else count)
    return Finding(count, before, wrong_with_the_end(before, [Link(*head) for head in heads], noted))


UNREADABLE = "it was changed: what stands there cannot be read"


def read_on(session: Session, after: Link | None) -> list[tuple[int, Any]]:
    """The next entries by their numbers, None for one that somebody made unreadable; before the first, from wherever the table begins."""
    numbers = select(AuditEntry.sequence).order_by(AuditEntry.sequence).limit(AT_ONCE)
    rows = select(*COLUMNS).order_by(AuditEntry.sequence)
    if after is not None:
        numbers, rows = numbers.where(AuditEntry.sequence > after.sequence), rows.where(AuditEntry.sequence > after.sequence)
    try:
        return [(row.sequence, row) for row in session.execute(rows.limit(AT_ONCE))]
    except (ValueError, TypeError):
        return [(sequence, read_one(session, sequence)) for sequence in session.scalars(numbers).all()]


def read_one(session: Session, sequence: int) -> Any:
    try:
        return session.execute(select(*COLUMNS).where(AuditEntry.sequence == sequence)).one()
    except (ValueError, TypeError):
        return None


def check_link(session: Session, actor: Actor, entry: AuditEntry) -> Break | None:
    """Whether this one entry is as it was written and follows from the one before it."""
    actor.require(Permission.AUDIT_LIST)
    before = session.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == entry.sequence - 1))
    if before is None and entry.sequence > 1:
        return Break(entry.sequence - 1, "it was removed")
    return wrong_with(entry, Link(entry.sequence - 1, before or GENESIS))


def wrong_with(entry: Any, before: Link) -> Break | None:
    expected = before.sequence + 1
    if entry.sequence > expected:
        return Break(expected, "it was removed")
    if entry.sequence < expected:
        return Break(entry.sequence, "it stands before the beginning")
    if entry.previous_hash != before.hash:
        return Break(expected, "it does not follow from the one before: one of the two was replaced or slipped in")
    try:
        same = digest(entry) == entry.hash
    except (ValueError, TypeError, AttributeError):
        return Break(expected, UNREADABLE)
    return None if same else Break(expected, "it was changed")


def wrong_with_the_end(last: Link, heads: Sequence[Link], noted: Link | None) -> Break | None:
    if len(heads) != 1:
        return Break(last.sequence + 1, f"the row that says where the chain ends {'is gone' if not heads else 'is there more than once'}")
    [head] = heads
    if head.sequence > last.sequence:
        return Break(last.sequence + 1, f"the chain ends before it, and its head says {head.sequence}")
    if head.sequence < last.sequence:
        return Break(head.sequence + 1, "it stands beyond the end that the head knows: it was slipped in, or the head was set back")
    if head.hash != last.hash:
        return Break(last.sequence, "it is not the entry that the head knows: one of the two was replaced")
    if noted and noted.sequence > last.sequence:
        return Break(last.sequence + 1, f"the chain ends before it, and {noted.sequence} was noted")
    return None
