"""Reading who the admins are, and who is invited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.errors import NotFound
from domain.identity.models import Admin, AdminSession, Invitation
from domain.pagination import Page, PageRequest, Position, cut, window
from domain.roles.models import Role


class Standing(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True)
class AdminFilters(PageRequest):
    """What a list of admins, or of invitations, is narrowed to. `from_` and `to` bound `created_at`: from included, to excluded."""

    status: tuple[Standing, ...] = ()
    role: tuple[str, ...] = ()
    mfa_enrolled: bool | None = None
    from_: datetime | None = None
    to: datetime | None = None
    q: str | None = None

    def conditions(self, table: type[Admin] | type[Invitation]) -> list[ColumnElement[bool]]:
        """Every filter that admins and invitations have in common."""
        found: list[ColumnElement[bool]] = []
        if self.role:
            found.append(table.role_id.in_(self.role))
        if self.from_ is not None:
            found.append(table.created_at >= self.from_)
        if self.to is not None:
            found.append(table.created_at < self.to)
        if self.q:
            found.append(or_(table.name.icontains(self.q, autoescape=True), table.email.icontains(self.q, autoescape=True)))
        return found

    def of_admins(self) -> list[ColumnElement[bool]]:
        """Every filter but `status`: what the summary counts over."""
        found = self.conditions(Admin)
        if self.mfa_enrolled is not None:
            found.append(Admin.totp_confirmed_at.is_not(None) if self.mfa_enrolled else Admin.totp_confirmed_at.is_(None))
        return found


@dataclass(frozen=True)
class AdminRow:
    """`last_seen_at` is None for somebody without a session in the last seven days: older ones are forgotten."""

    admin: Admin
    role: Role
    last_seen_at: datetime | None


@dataclass(frozen=True)
class InvitationRow:
    invitation: Invitation
    role: Role
    inviter_name: str | None


def list_admins(session: Session, actor: Actor, filters: AdminFilters) -> Page[AdminRow]:
    """A page of admins, the newest first, with the counts behind every tab."""
    actor.require(Permission.ADMINS_LIST)
    rows = select(Admin, Role).join(Role, Role.id == Admin.role_id).where(*filters.of_admins())
    if filters.status:
        rows = rows.where(or_(*(standing_is(each) for each in filters.status)))
    found: Sequence[Any] = session.execute(window(rows, filters, Admin.created_at.expression, Admin.id.expression)).all()
    page, more = cut(found, filters)
    seen = last_seen(session, [admin.id for admin, _ in page])
    items = [AdminRow(admin, role, seen.get(admin.id)) for admin, role in page]
    summary = summarise_admins(session, actor, filters)
    return Page(
        items=items,
        total_items=sum(summary[status] for status in filters.status or tuple(Standing)),
        request=filters,
        next_cursor=Position(items[-1].admin.created_at, items[-1].admin.id).encode() if more else None,
        summary=summary,
    )


def list_everybody(session: Session, actor: Actor) -> list[Admin]:
    """Every admin, by address."""
    actor.require(Permission.ADMINS_LIST)
    return list(session.scalars(select(Admin).order_by(Admin.email)))


def summarise_admins(session: Session, actor: Actor, filters: AdminFilters) -> dict[str, int]:
    actor.require(Permission.ADMINS_LIST)
    disabled = Admin.disabled_at.is_not(None)
    total, gone = session.execute(select(func.count(), func.count().filter(disabled)).select_from(Admin).where(*filters.of_admins())).one()
    return {str(Standing.ACTIVE): total - gone, str(Standing.DISABLED): gone}


def get_admin(session: Session, actor: Actor, admin_id: UUID) -> AdminRow:
    """Raises NotFound."""
    actor.require(Permission.ADMINS_LIST)
    return row_of(session, admin_id)


def row_of(session: Session, admin_id: UUID) -> AdminRow:
    """The same for whoever has just changed the admin, and may do that without listing admins."""
    found = session.execute(select(Admin, Role).join(Role, Role.id == Admin.role_id).where(Admin.id == admin_id)).one_or_none()
    if found is None:
        raise NotFound("There is no admin with this id.")
    return AdminRow(found[0], found[1], last_seen(session, [admin_id]).get(admin_id))


def list_invitations(session: Session, actor: Actor, filters: AdminFilters) -> Page[InvitationRow]:
    """A page of the invitations that wait to be accepted, expired ones included, the newest first."""
    actor.require(Permission.ADMINS_LIST)
    wanted = [*Invitation.still_open(), *filters.conditions(Invitation)]
    rows = (
        select(Invitation, Role, Admin.name)
        .join(Role, Role.id == Invitation.role_id)
        .outerjoin(Admin, Admin.id == Invitation.invited_by)
        .where(*wanted)
    )
    found: Sequence[Any] = session.execute(window(rows, filters, Invitation.created_at.expression, Invitation.id.expression)).all()
    page, more = cut(found, filters)
    items = [InvitationRow(*each) for each in page]
    return Page(
        items=items,
        total_items=count_invitations(session, actor, filters),
        request=filters,
        next_cursor=Position(items[-1].invitation.created_at, items[-1].invitation.id).encode() if more else None,
    )


def count_invitations(session: Session, actor: Actor, filters: AdminFilters) -> int:
    actor.require(Permission.ADMINS_LIST)
    wanted = [*Invitation.still_open(), *filters.conditions(Invitation)]
    return session.scalar(select(func.count()).select_from(Invitation).where(*wanted)) or 0


def invitation_row(session: Session, invitation_id: UUID) -> InvitationRow:
    """An invitation that its sender, or whoever may withdraw it, looks at. Raises NotFound for one that is no longer open."""
    found = session.execute(
        select(Invitation, Role, Admin.name)
        .join(Role, Role.id == Invitation.role_id)
        .outerjoin(Admin, Admin.id == Invitation.invited_by)
        .where(Invitation.id == invitation_id, *Invitation.still_open())
    ).one_or_none()
    if found is None:
        raise NotFound("There is no open invitation with this id: it was accepted or withdrawn, or never was.")
    return InvitationRow(*found)


def standing_is(standing: Standing) -> ColumnElement[bool]:
    return Admin.disabled_at.is_(None) if standing is Standing.ACTIVE else Admin.disabled_at.is_not(None)


def last_seen(session: Session, admin_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    seen = select(AdminSession.admin_id, func.max(AdminSession.last_seen_at)).where(AdminSession.admin_id.in_(admin_ids))
    return dict(session.execute(seen.group_by(AdminSession.admin_id)).all())
