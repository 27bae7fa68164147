"""Admins themselves: making one, taking one away, helping one back in."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

import pyotp
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit
from domain.access import EVERYTHING, Actor, Permission
from domain.db import now
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.identity import mfa, sessions
from domain.identity.mfa import Enrolment, Sealer
from domain.identity.models import Admin
from domain.identity.passwords import Passwords, check_acceptable, typable
from domain.identity.sessions import normalised_email
from domain.roles.models import SUPER_ADMIN, Role

ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class EmailTaken(Conflict):
    code = "EMAIL_TAKEN"


class LastSuperAdmin(Conflict):
    code = "LAST_SUPER_ADMIN"


class OwnAccount(Conflict):
    code = "OWN_ACCOUNT"


def create(session: Session, actor: Actor, passwords: Passwords, *, email: str, name: str, role_id: str, password: str) -> Admin:
    """A new admin, who may sign in at once."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    address, name = checked_address(email), checked_name(name)
    role = grantable_role(session, actor, role_id)
    check_acceptable(password, address)
    admin = Admin(email=address, name=name, role_id=role.id, password_hash=passwords.hash(password))
    add(session, admin)
    audit.record(session, actor, "admin.created", admin, after={"email": address, "name": name, "role_id": role.id})
    return admin


def add(session: Session, admin: Admin) -> None:
    try:
        with session.begin_nested():
            session.add(admin)
    except IntegrityError:
        raise email_taken(admin.email) from None


def email_taken(address: str) -> EmailTaken:
    return EmailTaken(f"There is an admin with the address {address} already.")


def checked_address(email: str) -> str:
    address = normalised_email(email)
    if not ADDRESS.fullmatch(address):
        raise Invalid("Write an e-mail address such as asha@example.com.", field="email")
    return address


def checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 200 or not typable(name):
        raise Invalid("Write a name of 1 to 200 characters.", field="name")
    return name


def grantable_role(session: Session, actor: Actor, role_id: str) -> Role:
    """The role, if the actor may give it to somebody: nobody grants what they do not hold. It stays as it is until the commit."""
    role = session.get(Role, role_id, with_for_update={"read": True}, populate_existing=True) if typable(role_id) else None
    if role is None or not role.can_be_assigned:
        known = session.scalars(select(Role.id).where(Role.can_be_assigned).order_by(Role.id))
        raise Invalid(f"There is no such role. Write one of {', '.join(known)}.", field="role")
    if EVERYTHING not in actor.permissions and not set(role.permissions) <= actor.permissions:
        raise Forbidden("This role may do more than you may: ask a super admin to give it.", required_permission=EVERYTHING)
    return role


def enrol(session: Session, actor: Actor, sealer: Sealer, admin: Admin) -> Enrolment:
    """A second factor in use at once, for an admin whose phone or program is given the secret by hand."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    secret = pyotp.random_base32(32)
    admin.totp_secret, admin.totp_pending_secret = sealer.seal(secret, admin.id), None
    admin.totp_confirmed_at = now()
    audit.record(session, actor, "mfa.enrolled", admin)
    return mfa.enrolment_of(admin, secret)


def give_role(session: Session, actor: Actor, admin_id: UUID, role_id: str) -> Admin:
    """Give an admin another role; it counts from their next request on."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    one_at_a_time(session)
    admin = lock_governed(session, actor, admin_id)
    role = grantable_role(session, actor, role_id)
    if admin.role_id == role.id:
        return admin
    keep_a_super_admin(session, admin)
    before, admin.role_id = admin.role_id, role.id
    session.flush()
    audit.record(session, actor, "admin.role_changed", admin, before={"role_id": before}, after={"role_id": role.id})
    return admin


def disable(session: Session, actor: Actor, admin_id: UUID) -> Admin:
    """Shut an admin out: every session ends, and no new one opens."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    one_at_a_time(session)
    admin = lock_governed(session, actor, admin_id)
    if not admin.active:
        return admin
    if admin.id == actor.admin_id:
        raise OwnAccount("You cannot disable yourself: ask another admin to do it.")
    keep_a_super_admin(session, admin)
    admin.disabled_at = now()
    sessions.revoke_all(session, admin.id)
    audit.record(session, actor, "admin.disabled", admin, before=standing(None), after=standing(admin.disabled_at))
    return admin


def enable(session: Session, actor: Actor, admin_id: UUID) -> Admin:
    """Let a disabled admin sign in again."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    admin = lock_governed(session, actor, admin_id)
    if admin.active:
        return admin
    before, admin.disabled_at = admin.disabled_at, None
    audit.record(session, actor, "admin.enabled", admin, before=standing(before), after=standing(None))
    return admin


def reset_mfa(session: Session, actor: Actor, admin_id: UUID) -> Admin:
    """Take the second factor off an admin who lost it; every session ends, the next sign-in offers to set up a new one."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    admin = lock_governed(session, actor, admin_id)
    before = {"mfa_enrolled": admin.mfa_enrolled}
    admin.totp_secret = admin.totp_pending_secret = admin.totp_confirmed_at = None
    mfa.forget_recovery_codes(session, admin.id)
    sessions.revoke_all(session, admin.id)
    audit.record(session, actor, "admin.mfa_reset", admin, before=before, after={"mfa_enrolled": False})
    return admin


def set_password(session: Session, actor: Actor, passwords: Passwords, admin_id: UUID, password: str) -> Admin:
    """Give an admin a new password; every session ends."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    admin = lock_governed(session, actor, admin_id)
    check_acceptable(password, admin.email)
    admin.password_hash = passwords.hash(password)
    sessions.revoke_all(session, admin.id)
    audit.record(session, actor, "admin.password_set", admin)
    return admin


def get_by_email(session: Session, actor: Actor, email: str) -> Admin:
    actor.require(Permission.ADMINS_LIST)
    admin = session.scalars(select(Admin).where(Admin.email == normalised_email(email))).one_or_none()
    if admin is None:
        raise NotFound("There is no admin with this address. `flask admin list` shows all.")
    return admin


def lock_governed(session: Session, actor: Actor, admin_id: UUID) -> Admin:
    """Fetch an admin to change: none whose role may do more than the actor may, or a password set for them would be a way up."""
    admin = lock_admin(session, admin_id)
    actor.require_to_hold(session.get_one(Role, admin.role_id).permissions)
    return admin


def lock_admin(session: Session, admin_id: UUID) -> Admin:
    admin = session.get(Admin, admin_id, with_for_update=True, populate_existing=True)
    if admin is None:
        raise NotFound("There is no admin with this id.")
    return admin


def one_at_a_time(session: Session) -> None:
    """Two who shut each other out at the same moment must not leave nobody."""
    session.scalars(select(Role).where(Role.id == SUPER_ADMIN).with_for_update()).one()


def keep_a_super_admin(session: Session, admin: Admin) -> None:
    if admin.active and admin.role_id == SUPER_ADMIN and active_super_admins(session) == 1:
        raise LastSuperAdmin("This is the last active super admin. Make another one first.")


def active_super_admins(session: Session) -> int:
    return session.scalar(select(func.count()).where(Admin.role_id == SUPER_ADMIN, Admin.disabled_at.is_(None))) or 0


def standing(disabled_at: datetime | None) -> dict[str, object]:
    return {"active": disabled_at is None, "disabled_at": disabled_at}
