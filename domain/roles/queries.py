"""Reading roles: what each may do, who holds it, and who may do one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import EVERYTHING, Actor, Permission
from domain.errors import NotFound
from domain.identity.models import Admin
from domain.identity.passwords import typable
from domain.roles.models import Role


@dataclass(frozen=True)
class RoleRow:
    """A role and how many active admins hold it."""

    role: Role
    user_count: int


@dataclass(frozen=True)
class RoleDetail(RoleRow):
    """`holders` are all of them, the disabled too; None for somebody who may not see admins."""

    holder_count: int
    holders: Sequence[Admin] | None


@dataclass(frozen=True)
class WhoCan:
    """The roles that allow something, and the active admins who hold them; None for somebody who may not see admins."""

    permission: Permission
    roles: Sequence[RoleRow]
    admins: Sequence[Admin] | None

    @property
    def user_count(self) -> int:
        return sum(row.user_count for row in self.roles)


def list_roles(session: Session, actor: Actor) -> list[RoleRow]:
    """Every role: those that may do everything first, then the system's, then custom ones, by name."""
    actor.require(Permission.ROLES_LIST)
    counts = dict(session.execute(select(Admin.role_id, func.count()).where(Admin.disabled_at.is_(None)).group_by(Admin.role_id)).all())
    rows = [RoleRow(role, counts.get(role.id, 0)) for role in session.scalars(select(Role))]
    return sorted(rows, key=rank)


def rank(row: RoleRow) -> tuple[bool, bool, str, str]:
    return (not row.role.allows_everything, not row.role.is_system_role, row.role.name.casefold(), row.role.id)


def get_role(session: Session, actor: Actor, role_id: str) -> RoleDetail:
    """One role and who holds it. Raises NotFound."""
    actor.require(Permission.ROLES_LIST)
    return detail_of(session, actor, role_id)


def detail_of(session: Session, actor: Actor, role_id: str) -> RoleDetail:
    """The same for whoever has just changed the role, and may do that without listing roles."""
    role = find_role(session, role_id)
    if role is None:
        raise unknown_role()
    held = Admin.role_id == role.id
    total, active = session.execute(
        select(func.count(), func.count().filter(Admin.disabled_at.is_(None))).select_from(Admin).where(held)
    ).one()
    holders = None
    if actor.can(Permission.ADMINS_LIST):
        holders = session.scalars(select(Admin).where(held).order_by(Admin.disabled_at.is_not(None), Admin.name, Admin.id)).all()
    return RoleDetail(role, active, total, holders)


def find_role(session: Session, role_id: str) -> Role | None:
    return session.get(Role, role_id) if typable(role_id) else None


def unknown_role() -> NotFound:
    return NotFound("There is no role with this id.")


def who_can(session: Session, actor: Actor, permission: str) -> WhoCan:
    """Who may do this. Raises NotFound for what no role can allow, with the name that may have been meant."""
    allowed = known_permission(permission)
    rows = [row for row in list_roles(session, actor) if row.role.allows(allowed)]
    admins = None
    if actor.can(Permission.ADMINS_LIST):
        ids = [row.role.id for row in rows]
        admins = session.scalars(
            select(Admin).where(Admin.role_id.in_(ids), Admin.disabled_at.is_(None)).order_by(Admin.name, Admin.id)
        ).all()
    return WhoCan(allowed, rows, admins)


def known_permission(text: str) -> Permission:
    found = next((permission for permission in Permission if permission.value == text), None)
    if found is None:
        raise NotFound(f"There is no such permission. {suggestion(text)}")
    return found


def suggestion(text: str) -> str:
    """What may have been meant by a name that is no permission."""
    close = get_close_matches(text[:100].casefold(), [permission.value for permission in Permission], n=1)
    return f"Did you mean {close[0]}?" if close else "GET /api/v1/admin/permissions and the page of roles list all of them."


@dataclass(frozen=True)
class Approvers:
    """Active admins who may approve refunds; `ready` are those with a second factor, which large ones take."""

    able: int
    ready: int


def count_approvers(session: Session) -> Approvers:
    """How many could give one of the two approvals that a large refund takes."""
    rows = session.execute(
        select(Admin.totp_confirmed_at, Role.permissions).join(Role, Role.id == Admin.role_id).where(Admin.disabled_at.is_(None))
    ).all()
    needed = {EVERYTHING, Permission.REFUNDS_APPROVE.value}
    able = [confirmed_at for confirmed_at, permissions in rows if needed & set(permissions)]
    return Approvers(len(able), sum(confirmed_at is not None for confirmed_at in able))


def assignable_roles(session: Session) -> list[Role]:
    """The roles that can be given to somebody, by name."""
    return sorted(session.scalars(select(Role).where(Role.can_be_assigned)), key=lambda role: role.name.casefold())


def role_names(session: Session) -> dict[str, str]:
    """What each role is called, for the filters of a list; in the order of the names."""
    return dict(session.execute(select(Role.id, Role.name).order_by(Role.name)).all())
