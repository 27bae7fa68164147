"""Reading the audit log."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry, AuditHead
from domain.db import Base
from domain.errors import Invalid, NotFound
from domain.identity.models import Admin
from domain.identity.sessions import normalised_email
from domain.pagination import Page, PageRequest, cut

CLOCKS_DIFFER_BY = timedelta(minutes=10)
MOST_OF_AN_OBJECT = 200


@dataclass(frozen=True)
class AuditFilters(PageRequest):
    """What the log is narrowed to. `actor` is an admin's id or address, or the name the entry bears; `q` is looked for in whatever the
    entry tells. `older_than` and `newer_than` are numbers of entries, from which the page goes on downwards or upwards."""

    actor: str | None = None
    action: tuple[str, ...] = ()
    object_type: str | None = None
    object_id: str | None = None
    request_id: str | None = None
    ip: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    q: str | None = None
    older_than: int | None = None
    newer_than: int | None = None

    @property
    def narrowed(self) -> bool:
        plain = (self.actor, self.object_type, self.object_id, self.request_id, self.ip, self.from_, self.to, self.q)
        return bool(self.action) or any(value is not None for value in plain)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Every filter but `action`, of which there may be several."""
        found: list[ColumnElement[bool]] = []
        if self.actor is not None:
            found.append(acted_by(self.actor))
        for column in (AuditEntry.object_type, AuditEntry.object_id, AuditEntry.request_id, AuditEntry.ip):
            value = getattr(self, column.key)
            if value is not None:
                found.append(column == value)
        if self.from_ is not None:
            found.append(AuditEntry.created_at >= self.from_)
        if self.to is not None:
            found.append(AuditEntry.created_at < self.to)
        if self.q:
            found.append(told(self.q))
        return found


def list_entries(session: Session, actor: Actor, filters: AuditFilters, *, count_to: int | None = None) -> Page[AuditEntry]:
    """A page of entries, newest first. With `count_to`, `total_items` stops there: counting on through a long log is dear."""
    actor.require(Permission.AUDIT_LIST)
    conditions = filters.conditions()
    place = [*conditions, *near(session, filters)]
    older_than = filters.older_than if filters.cursor is None else decode(filters.cursor)
    upwards = older_than is None and filters.newer_than is not None
    if older_than is not None:
        place.append(AuditEntry.sequence < older_than)
    elif filters.newer_than is not None:
        place.append(AuditEntry.sequence > filters.newer_than)
    skipped = (filters.page - 1) * filters.page_size if older_than is None and not upwards else 0
    found = session.scalars(rows(filters.action, place, skipped, filters.page_size + 1, upwards)).all()
    items, more = cut(found, filters)
    if upwards:
        items, more = items[::-1], True
    return Page(
        items=items,
        total_items=count_entries(session, filters, conditions, count_to),
        request=filters,
        next_cursor=encode(items[-1].sequence) if more and items else None,
    )


def rows(
    actions: Sequence[str], conditions: Sequence[ColumnElement[bool]], skipped: int, most: int, upwards: bool
) -> Select[*tuple[AuditEntry]]:
    """So many entries after the first few. Several actions are each read along the index: together they would be sorted, however many."""
    order = AuditEntry.sequence.asc() if upwards else AuditEntry.sequence.desc()
    if len(actions) < 2:
        only = [AuditEntry.action == action for action in actions]
        return select(AuditEntry).where(*conditions, *only).order_by(order).offset(skipped).limit(most)
    branches = [
        select(
            select(AuditEntry.sequence)
            .where(*conditions, AuditEntry.action == action)
            .order_by(order)
            .limit(skipped + most)
            .subquery()
            .c.sequence
        )
        for action in actions
    ]
    return select(AuditEntry).where(AuditEntry.sequence.in_(union_all(*branches))).order_by(order).offset(skipped).limit(most)


def count_entries(session: Session, filters: AuditFilters, conditions: Sequence[ColumnElement[bool]], most: int | None) -> int:
    """How many there are; of the whole log the head knows."""
    if not filters.narrowed:
        return session.scalar(select(AuditHead.sequence)) or 0
    counted = select(AuditEntry.sequence).where(*conditions)
    if filters.action:
        counted = counted.where(AuditEntry.action.in_(filters.action))
    if most is not None:
        counted = counted.limit(most)
    return session.scalar(select(func.count()).select_from(counted.subquery())) or 0


def near(session: Session, filters: AuditFilters) -> list[ColumnElement[bool]]:
    """Where in the chain those days lie, so that a list of them begins there and not at the end of the chain.

    Numbers are given in the order of commits and times by whichever machine commits, so the two differ by as much as clocks do.
    """
    found: list[ColumnElement[bool]] = []
    number = select(AuditEntry.sequence)
    if filters.from_ is not None:
        first = number.where(AuditEntry.created_at >= back(filters.from_)).order_by(AuditEntry.created_at).limit(1)
        found.append(AuditEntry.sequence >= (session.scalar(first) or 2**62))
    if filters.to is not None:
        last = number.where(AuditEntry.created_at < forth(filters.to)).order_by(AuditEntry.created_at.desc()).limit(1)
        found.append(AuditEntry.sequence <= (session.scalar(last) or 0))
    return found


def back(moment: datetime) -> datetime:
    try:
        return moment - CLOCKS_DIFFER_BY
    except OverflowError:
        return moment


def forth(moment: datetime) -> datetime:
    try:
        return moment + CLOCKS_DIFFER_BY
    except OverflowError:
        return moment


def acted_by(actor: str) -> ColumnElement[bool]:
    if "@" in actor:
        return AuditEntry.actor_id == select(Admin.id).where(Admin.email == normalised_email(actor)).scalar_subquery()
    try:
        return AuditEntry.actor_id == UUID(actor)
    except ValueError:
        return AuditEntry.actor_name == actor


def told(text: str) -> ColumnElement[bool]:
    columns: list[Any] = [AuditEntry.actor_name, AuditEntry.action, AuditEntry.object_id, AuditEntry.request_id, AuditEntry.ip]
    columns += [cast(column, String) for column in (AuditEntry.before, AuditEntry.after, AuditEntry.details)]
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def get_entry(session: Session, actor: Actor, entry_id: UUID) -> AuditEntry:
    """One entry. Raises NotFound."""
    actor.require(Permission.AUDIT_LIST)
    entry = session.scalar(select(AuditEntry).where(AuditEntry.id == entry_id))
    if entry is None:
        raise NotFound("There is no entry with this id in the audit log.")
    return entry


def find_number(session: Session, actor: Actor, sequence: int) -> UUID | None:
    """The id of the entry with this place in the chain."""
    actor.require(Permission.AUDIT_LIST)
    return session.scalar(select(AuditEntry.id).where(AuditEntry.sequence == sequence))


def list_for_object(session: Session, of: type[Base] | str, object_id: object, most: int = MOST_OF_AN_OBJECT) -> Sequence[AuditEntry]:
    """What was done to one object, newest first: for the object's own page, whose reader may see the object.

    `of`: its model, or its type's name in the log where the database has no table of it.
    """
    found = (
        select(AuditEntry)
        .where(AuditEntry.object_type == (of if isinstance(of, str) else of.__tablename__), AuditEntry.object_id == str(object_id))
        .order_by(AuditEntry.sequence.desc())
        .limit(most)
    )
    return session.scalars(found).all()


def list_of_request(session: Session, actor: Actor, request_id: str, most: int = 25) -> Sequence[AuditEntry]:
    """What one request did, in its order."""
    actor.require(Permission.AUDIT_LIST)
    return session.scalars(select(AuditEntry).where(AuditEntry.request_id == request_id).order_by(AuditEntry.sequence).limit(most)).all()


def list_around(session: Session, actor: Actor, entry: AuditEntry, most: int = 5) -> Sequence[AuditEntry]:
    """What was done to the same object just before and just after, newest first."""
    actor.require(Permission.AUDIT_LIST)
    if entry.object_id is None:
        return []
    same = select(AuditEntry).where(AuditEntry.object_type == entry.object_type, AuditEntry.object_id == entry.object_id)
    before = session.scalars(same.where(AuditEntry.sequence < entry.sequence).order_by(AuditEntry.sequence.desc()).limit(most)).all()
    after = session.scalars(same.where(AuditEntry.sequence > entry.sequence).order_by(AuditEntry.sequence).limit(most)).all()
    return [*after[::-1], *before]


def list_actors(session: Session, actor: Actor, most: int = 100) -> list[tuple[UUID, str]]:
    """The admins who can be found in the log, by name."""
    actor.require(Permission.AUDIT_LIST)
    acted = select(literal(1)).where(AuditEntry.actor_id == Admin.id).exists()
    found = session.execute(select(Admin.id, Admin.name).where(acted).order_by(Admin.name, Admin.id).limit(most))
    return [(admin_id, name) for admin_id, name in found]


def encode(sequence: int) -> str:
    return base64.urlsafe_b64encode(str(sequence).encode()).decode().rstrip("=")


def decode(cursor: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        if raw.isdigit() and len(raw) <= 18:
            return int(raw)
    except (ValueError, binascii.Error):
        pass
    raise Invalid("This cursor is not one of ours: pass meta.next_cursor on as it came, or leave it out.", field="cursor")
