"""The first step: e-mail and password.

Who is unknown, disabled or mistaken gets the same answer after the same time. Tries are counted in the database before anything
is computed, and every outcome is audited in a transaction of its own, so that a refusal leaves its trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import audit, throttle
from domain.access import Actor
from domain.db import read_only
from domain.errors import Unauthenticated
from domain.identity import sessions
from domain.identity.models import Admin, Door
from domain.identity.passwords import Passwords
from domain.identity.sessions import SignedIn, hashed, normalised_email
from domain.roles.models import Role
from domain.throttle import Limit, separately

PER_ACCOUNT = Limit("sign_in_account", 10, timedelta(minutes=5))
PER_ADDRESS = Limit("sign_in_address", 10, timedelta(minutes=5))


class InvalidCredentials(Unauthenticated):
    code = "INVALID_CREDENTIALS"


@dataclass(frozen=True)
class Opened:
    """A fresh sign-in; `secret` is what the portal's cookie carries, None for a program."""

    signed_in: SignedIn
    secret: str | None


def sign_in(session: Session, visitor: Actor, passwords: Passwords, email: str, password: str, door: Door) -> Opened:
    """Open a session for the right e-mail and password. `session` must not be in a transaction yet; the caller commits it."""
    address = normalised_email(email)
    count_the_try(session, visitor, address)
    found = find(session, address)
    admin, role = found or (None, None)
    right = passwords.matches(password, admin.password_hash if admin else None)
    if not right or admin is None or role is None or not admin.active:
        with separately(session) as own:
            object_type, object_id = subject(admin, address)
            audit.record(own, visitor, "session.sign_in_refused", object_type=object_type, object_id=object_id, door=door)
        raise InvalidCredentials("The e-mail address or the password is wrong.")

    rehashed = passwords.hash(password) if passwords.outdated(admin.password_hash) else None
    throttle.give_back(session, PER_ADDRESS, network(visitor.ip))
    throttle.forgive(session, PER_ACCOUNT, address)
    if rehashed:
        session.execute(update(Admin).where(Admin.id == admin.id).values(password_hash=rehashed))
    row, secret = sessions.open_session(session, admin.id, door, visitor)
    signed_in = SignedIn(row, admin, role)
    audit.record(session, signed_in.actor(visitor), "session.signed_in", row, door=door)
    return Opened(signed_in, secret)


def count_the_try(session: Session, visitor: Actor, address: str) -> None:
    """The address first: one that is refused anyway must not use up the account's tries."""
    with separately(session) as own:
        blocked = throttle.count_try(own, PER_ADDRESS, network(visitor.ip)) or throttle.count_try(own, PER_ACCOUNT, address)
        if blocked and blocked.first:  # the rest of a flood would only bury it
            object_type, object_id = subject(None, address)
            audit.record(own, visitor, "session.sign_in_throttled", object_type=object_type, object_id=object_id)
    if blocked:
        raise throttle.refusal(blocked, "Too many tries to sign in.")


def find(session: Session, address: str) -> tuple[Admin, Role] | None:
    with read_only(), Session(session.get_bind(), expire_on_commit=False) as own:
        found = own.execute(select(Admin, Role).join(Role, Role.id == Admin.role_id).where(Admin.email == address)).one_or_none()
        return (found[0], found[1]) if found else None


def subject(admin: Admin | None, address: str) -> tuple[str, object]:
    """What the entry is about: the admin, or of an unknown address no more than its hash."""
    return ("admin_users", admin.id) if admin else ("email_sha256", hashed(address))


def network(ip: str | None) -> str:
    """What counts as one address: for IPv6 the /64, which is what one household or server is given."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
