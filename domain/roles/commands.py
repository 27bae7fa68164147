"""Custom roles: made, changed and deleted. The system's own roles stay as they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import delete as remove
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import EVERYTHING, Actor, Permission
from domain.errors import Conflict, Forbidden, Invalid
from domain.identity.models import Admin, Invitation
from domain.identity.passwords import typable
from domain.roles.models import SUPER_ADMIN, Role
from domain.roles.queries import find_role, suggestion, unknown_role

ID = re.compile(r"[a-z][a-z0-9_]{1,49}")
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")  # with one, two names could look the same
RESERVED = {"can", "compare", "new"}  # the portal's own words at the place of an id: /roles/new
CATALOGUE = [EVERYTHING, *(permission.value for permission in Permission)]


class SystemRole(Forbidden):
    code = "SYSTEM_ROLE"


class RoleExists(Conflict):
    code = "ROLE_EXISTS"


class RoleInUse(Conflict):
    code = "ROLE_IN_USE"


class RoleChanged(Conflict):
    """The form was made from the role as it was before somebody else changed it."""

    code, settled = "ROLE_CHANGED", False


def create(session: Session, actor: Actor, *, name: str, description: str, permissions: Sequence[str], role_id: str | None = None) -> Role:
    """A new custom role. Its id, where none is given, is made of its name."""
    actor.require(Permission.ROLES_MANAGE, mfa=True)
    name, description, granted = checked_name(name), checked_description(description), checked_permissions(permissions)
    actor.require_to_hold(granted)
    id = role_id or id_from(name)
    if id in RESERVED:
        raise Invalid(f"The word {id} stands for something else. Choose another id.", field="id")
    if not ID.fullmatch(id):
        raise Invalid("Write an id of 2 to 50 small letters, digits and underscores that begins with a letter.", field="id")
    wait_for_others(session)
    refuse_a_double(session, name, id)
    role = Role(id=id, name=name, description=description, permissions=granted, is_system_role=False, can_be_assigned=True)
    session.add(role)
    session.flush()
    audit.record(session, actor, "role.created", role, after=facts(role))
    return role


def change(
    session: Session,
    actor: Actor,
    role_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    permissions: Sequence[str] | None = None,
    can_be_assigned: bool | None = None,
    expected_version: int | None = None,
) -> Role:
    """Change what is given of a custom role; it counts for its holders from their next request on."""
    actor.require(Permission.ROLES_MANAGE, mfa=True)
    role = lock_custom(session, actor, role_id)
    if expected_version is not None and role.version != expected_version:
        raise RoleChanged("Somebody changed this role since you opened it. Look at it as it is now, then change it.")
    before = facts(role)
    if name is not None:
        name = checked_name(name)
        refuse_a_double(session, name, besides=role)
        role.name = name
    if description is not None:
        role.description = checked_description(description)
    if permissions is not None:
        granted = checked_permissions(permissions)
        actor.require_to_hold(granted)
        role.permissions = granted
    if can_be_assigned is not None:
        role.can_be_assigned = can_be_assigned
    after = facts(role)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        session.flush()
        audit.record(
            session,
            actor,
            "role.changed",
            role,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return role


def delete(session: Session, actor: Actor, role_id: str) -> None:
    """Delete a custom role that nobody holds, disabled admins included: enabled again, they would hold nothing."""
    actor.require(Permission.ROLES_MANAGE, mfa=True)
    role = lock_custom(session, actor, role_id)
    holders = session.scalar(select(func.count()).select_from(Admin).where(Admin.role_id == role.id)) or 0
    if holders:
        word = "1 admin holds" if holders == 1 else f"{holders} admins hold"
        raise RoleInUse(f"{word} this role, disabled ones included. Give them another one first.", holder_count=holders)
    of_role = Invitation.role_id == role.id
    if session.scalar(select(Invitation.id).where(of_role, *Invitation.still_open()).limit(1)) is not None:
        raise RoleInUse("Somebody is invited to this role. Withdraw the invitation first.", holder_count=0)
    session.execute(remove(Invitation).where(of_role))  # closed ones: the audit log keeps what they were
    audit.record(session, actor, "role.deleted", role, before=facts(role))
    session.delete(role)
    session.flush()


def lock_custom(session: Session, actor: Actor, role_id: str) -> Role:
    """Fetch a role to change it: not one of the system's, and none that may do more than the actor."""
    wait_for_others(session)
    if find_role(session, role_id) is None:
        raise unknown_role()
    role = session.get_one(Role, role_id, with_for_update=True, populate_existing=True)
    if role.is_system_role:
        raise SystemRole(f"{role.name} is one of the system's own roles, which stay as they are. Make a custom role and change that.")
    actor.require_to_hold(role.permissions)
    return role


def wait_for_others(session: Session) -> None:
    """One change to who may do what at a time: a rule over several rows holds only if nobody writes in between."""
    session.scalars(select(Role.id).where(Role.id == SUPER_ADMIN).with_for_update()).one_or_none()


def refuse_a_double(session: Session, name: str, id: str | None = None, besides: Role | None = None) -> None:
    """A role that is called like another would be given by mistake."""
    for other in session.scalars(select(Role).execution_options(populate_existing=True)):
        if other is besides:
            continue
        if other.name.casefold() == name.casefold():
            raise RoleExists(f"There is a role called {other.name} already. Choose another name.", role_id=other.id)
        if other.id == id:
            raise RoleExists(f"There is a role with the id {id} already. Choose another name, or another id.", role_id=other.id)


def checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not typable(name) or INVISIBLE.search(name):
        raise Invalid("Write a name of 1 to 100 characters, in one line and without invisible ones.", field="name")
    return name


def checked_description(description: str) -> str:
    description = description.strip()
    if len(description) > 500 or not typable(description):
        raise Invalid("Write at most 500 characters, in one line.", field="description")
    return description


def checked_permissions(permissions: Collection[str]) -> list[str]:
    """Each once, in the catalogue's order, so that two roles that may do the same look the same."""
    for place, permission in enumerate(permissions):
        if permission not in CATALOGUE:
            raise Invalid(f"There is no such permission, and no pattern but *. {suggestion(permission)}", field=f"permissions.{place}")
    if not permissions:
        raise Invalid("Choose at least one permission.", field="permissions")
    return [permission for permission in CATALOGUE if permission in permissions]


def id_from(name: str) -> str:
    """regional_finance from Regional finance; of a name without such letters, its hash."""
    words = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_") or sha256(name.encode()).hexdigest()[:8]
    return (words if ID.fullmatch(words[:50]) and words not in RESERVED else f"role_{words}")[:50].rstrip("_")


def facts(role: Role) -> dict[str, Any]:
    return {
        "name": role.name,
        "description": role.description,
        "permissions": list(role.permissions),
        "can_be_assigned": role.can_be_assigned,
    }
