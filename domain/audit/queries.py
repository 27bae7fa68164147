"""Reading the audit log."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry
from domain.errors import Invalid
from domain.identity.models import Admin
from domain.identity.sessions import normalised_email
from domain.pagination import Page, PageRequest, cut


@dataclass(frozen=True)
class AuditFilters(PageRequest):
    """What the log is narrowed to. `actor` is an admin's id or address, or the name the entry bears."""

    actor: str | None = None
    action: tuple[str, ...] = ()
    object_type: str | None = None
    object_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.actor is not None:
            found.append(acted_by(self.actor))
        if self.action:
            found.append(AuditEntry.action.in_(self.action))
        if self.object_type is not None:
            found.append(AuditEntry.object_type == self.object_type)
        if self.object_id is not None:
            found.append(AuditEntry.object_id == self.object_id)
        if self.from_ is not None:
            found.append(AuditEntry.created_at >= self.from_)
        if self.to is not None:
            found.append(AuditEntry.created_at < self.to)
        return found


def list_entries(session: Session, actor: Actor, filters: AuditFilters) -> Page[AuditEntry]:
    """A page of entries, newest first."""
    actor.require(Permission.AUDIT_LIST)
    conditions = filters.conditions()
    rows = select(AuditEntry).where(*conditions).order_by(AuditEntry.sequence.desc()).limit(filters.page_size + 1)
    if filters.cursor is None:
        rows = rows.offset((filters.page - 1) * filters.page_size)
    else:
        rows = rows.where(AuditEntry.sequence < decode(filters.cursor))
    items, more = cut(session.scalars(rows).all(), filters)
    total = session.scalar(select(func.count()).select_from(AuditEntry).where(*conditions)) or 0
    return Page(items=items, total_items=total, request=filters, next_cursor=encode(items[-1].sequence) if more else None)


def acted_by(actor: str) -> ColumnElement[bool]:
    try:
        return AuditEntry.actor_id == UUID(actor)
    except ValueError:
        admin = select(Admin.id).where(Admin.email == normalised_email(actor))
        return or_(AuditEntry.actor_id.in_(admin), AuditEntry.actor_name == actor)


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
