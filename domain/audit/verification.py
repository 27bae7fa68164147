"""Is the chain whole? Every link is computed anew and compared, from the first to the head."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import GENESIS, digest

AT_ONCE = 1000


@dataclass(frozen=True)
class Link:
    """A place in the chain: noted outside the database, it also shows whether the end was cut off."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class Break:
    """The first link that does not hold, and what is wrong with it."""

    sequence: int
    what: str


@dataclass(frozen=True)
class Finding:
    entries: int
    head: Link
    broken: Break | None = None

    @property
    def whole(self) -> bool:
        return self.broken is None


def verify(session: Session, actor: Actor, noted: Link | None = None) -> Finding:
    """Walk the whole chain; `noted` is an earlier head that must still be part of it."""
    actor.require(Permission.AUDIT_LIST)
    if session.get_bind().dialect.name == "postgresql" and not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})  # others go on writing: one moment's view
    head = session.scalars(select(AuditHead)).one()
    before, count = Link(0, GENESIS), 0
    entries = select(AuditEntry).order_by(AuditEntry.sequence).execution_options(yield_per=AT_ONCE)
    for entry in session.scalars(entries):
        if problem := wrong_with(entry, before):
            return Finding(count, before, problem)
        if noted and noted.sequence == entry.sequence and noted.hash != entry.hash:
            return Finding(count, before, Break(entry.sequence, "it is not the entry that was noted under this number"))
        before, count = Link(entry.sequence, entry.hash), count + 1
        session.expunge(entry)
    if (head.sequence, head.hash) != (before.sequence, before.hash):
        return Finding(count, before, Break(before.sequence + 1, f"the chain ends before it, and its head says {head.sequence}"))
    if noted and noted.sequence > before.sequence:
        return Finding(count, before, Break(before.sequence + 1, f"the chain ends before it, and {noted.sequence} was noted"))
    return Finding(count, before)


def check_link(session: Session, actor: Actor, entry: AuditEntry) -> Break | None:
    """Whether this one entry is as it was written and follows from the one before it."""
    actor.require(Permission.AUDIT_LIST)
    before = session.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == entry.sequence - 1))
    if before is None and entry.sequence > 1:
        return Break(entry.sequence - 1, "it was removed")
    return wrong_with(entry, Link(entry.sequence - 1, before or GENESIS))


def wrong_with(entry: AuditEntry, before: Link) -> Break | None:
    expected = before.sequence + 1
    if entry.sequence > expected:
        return Break(expected, "it was removed")
    if entry.sequence < expected:
        return Break(entry.sequence, "it stands before the beginning")
    if entry.previous_hash != before.hash:
        return Break(expected, "it does not follow from the one before: one of the two was replaced or slipped in")
    if digest(entry) != entry.hash:
        return Break(expected, "it was changed")
    return None
