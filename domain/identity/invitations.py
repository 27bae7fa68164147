"""Invitations: sent -> accepted, or withdrawn. One that has expired can be sent again.

Whoever is invited gets a link by mail, good once and for three days, chooses a password and is an admin. An invitation is worth what its
sender is worth at that moment: it opens nothing once the sender is disabled or may no longer give that role.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit, notifications
from domain.access import Actor, Permission
from domain.db import now
from domain.errors import Conflict, DomainError, NotFound
from domain.identity import sessions
from domain.identity.admins import add, checked_address, checked_name, email_taken, grantable_role
from domain.identity.models import Admin, Door, Invitation
from domain.identity.passwords import Passwords, check_acceptable
from domain.identity.sessions import actor_of, hashed
from domain.roles.models import Role

GOOD_FOR = timedelta(hours=72)


class AlreadyInvited(Conflict):
    code = "ALREADY_INVITED"


class InvitationOver(DomainError):
    """One answer for a link that was used, withdrawn, has expired or never was."""

    status, code = 410, "INVITATION_OVER"


class InvitationLinks:
    """Makes the links. The key is not in the database, so whoever reads that cannot make one."""

    def __init__(self, key: bytes, public_url: str):
        self.key, self.public_url = key, public_url

    def token(self, invitation: Invitation) -> str:
        digest = hmac.new(self.key, f"{invitation.id}:{invitation.nonce}".encode(), sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def url(self, invitation: Invitation) -> str:
        return f"{self.public_url}/invitation/{self.token(invitation)}"


@dataclass(frozen=True)
class Opened:
    """An invitation that still opens the door, and what is behind it."""

    invitation: Invitation
    role: Role
    inviter: Admin | None


def invite(session: Session, actor: Actor, links: InvitationLinks, *, email: str, name: str, role_id: str) -> Invitation:
    """Ask somebody in. The mail with the link goes out as a background job."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    address, name = checked_address(email), checked_name(name)
    role = grantable_role(session, actor, role_id)
    if session.scalar(select(Admin.id).where(Admin.email == address)) is not None:
        raise email_taken(address)
    earlier = session.scalars(
        select(Invitation).where(Invitation.email == address, *Invitation.still_open()).with_for_update()
    ).one_or_none()
    if earlier is not None and not earlier.expired:
        raise already_invited(address)
    if earlier is not None:
        earlier.withdrawn_at = now()
        session.flush()
    invitation = Invitation(id=uuid4(), email=address, name=name, role_id=role.id, invited_by=actor.admin_id)
    renew(invitation, links)
    try:
        with session.begin_nested():
            session.add(invitation)
    except IntegrityError:
        raise already_invited(address) from None
    after = {"email": address, "name": name, "role_id": role.id, "expires_at": invitation.expires_at}
    audit.record(session, actor, "admin.invited", invitation, after=after)
    notifications.request_invitation(session, invitation)
    return invitation


def resend(session: Session, actor: Actor, links: InvitationLinks, invitation_id: UUID) -> Invitation:
    """Send a new link, good for three days again; the one before opens nothing any more. The invitation is the actor's from now on."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    invitation = lock_open(session, invitation_id)
    grantable_role(session, actor, invitation.role_id)
    before = {"expires_at": invitation.expires_at}
    invitation.invited_by = actor.admin_id
    renew(invitation, links)
    session.flush()
    audit.record(session, actor, "admin.invitation_resent", invitation, before=before, after={"expires_at": invitation.expires_at})
    notifications.request_invitation(session, invitation)
    return invitation


def withdraw(session: Session, actor: Actor, invitation_id: UUID) -> None:
    """Take an invitation back: its link opens nothing any more."""
    actor.require(Permission.ADMINS_MANAGE, mfa=True)
    invitation = lock_open(session, invitation_id)
    actor.require_to_hold(session.get_one(Role, invitation.role_id).permissions)
    invitation.withdrawn_at = now()
    audit.record(
        session, actor, "admin.invitation_withdrawn", invitation, before={"email": invitation.email, "role_id": invitation.role_id}
    )


def open_with(session: Session, token: str, *, lock: bool = False) -> Opened:
    """The invitation behind a link. Raises InvitationOver for one that opens nothing, whatever the reason."""
    asked = select(Invitation).where(Invitation.token_hash == hashed(token), *Invitation.still_open())
    invitation = session.scalars(asked.with_for_update() if lock else asked).one_or_none()
    if invitation is None or invitation.expired:
        raise over()
    role = session.get_one(Role, invitation.role_id, with_for_update={"read": True} if lock else None)
    inviter = session.get_one(Admin, invitation.invited_by) if invitation.invited_by else None
    if not role.can_be_assigned or (inviter is not None and not may_still_invite(session, inviter, role)):
        raise over()
    return Opened(invitation, role, inviter)


def accept(session: Session, visitor: Actor, passwords: Passwords, token: str, password: str) -> str:
    """Become an admin, with a password of one's own, and be signed in at once, since the link came to that mailbox.

    Answers the secret of the session's cookie.
    """
    opened = open_with(session, token, lock=True)
    invitation, role = opened.invitation, opened.role
    check_acceptable(password, invitation.email)
    admin = Admin(email=invitation.email, name=invitation.name, role_id=role.id, password_hash=passwords.hash(password))
    add(session, admin)
    invitation.accepted_at = now()
    acting = actor_of(admin, role, visitor)
    audit.record(session, acting, "admin.invitation_accepted", invitation, admin_id=admin.id)
    invited_by = f"Invited by {opened.inviter.name}" if opened.inviter else "Invited by the operator"
    after = {"email": admin.email, "name": admin.name, "role_id": role.id}
    audit.record(session, acting, "admin.created", admin, after=after, message=invited_by)
    row, secret = sessions.open_session(session, admin.id, Door.PORTAL, visitor)
    audit.record(session, acting, "session.signed_in", row, door=Door.PORTAL)
    assert secret is not None
    return secret


def lock_open(session: Session, invitation_id: UUID) -> Invitation:
    invitation = session.get(Invitation, invitation_id, with_for_update=True, populate_existing=True)
    if invitation is None or not invitation.open:
        raise NotFound("There is no open invitation with this id: it was accepted or withdrawn, or never was.")
    return invitation


def renew(invitation: Invitation, links: InvitationLinks) -> None:
    invitation.nonce = secrets.token_urlsafe(32)
    invitation.token_hash = hashed(links.token(invitation))
    invitation.expires_at = now() + GOOD_FOR


def may_still_invite(session: Session, inviter: Admin, role: Role) -> bool:
    own = session.get_one(Role, inviter.role_id)
    holds = own.allows_everything or set(role.permissions) <= set(own.permissions)
    return inviter.active and holds and own.allows(Permission.ADMINS_MANAGE)


def already_invited(address: str) -> AlreadyInvited:
    return AlreadyInvited(f"{address} is invited already. Send that invitation again, or withdraw it first.")


def over() -> InvitationOver:
    return InvitationOver("This invitation was used or withdrawn, or its time is over. Ask whoever invited you to send it again.")
