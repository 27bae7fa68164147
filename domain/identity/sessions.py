"""Sessions: one row per sign-in, looked up with its admin and role at every request, so that whatever ends one acts at once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.db import now
from domain.identity.models import Admin, AdminSession, Door
from domain.roles.models import Role

TOTAL = timedelta(hours=12)
IDLE = timedelta(minutes=30)  # in the portal; a program has no reason to be idle in front of a screen
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class SignedIn:
    """A live session and whose it is."""

    row: AdminSession
    admin: Admin
    role: Role

    def actor(self, visitor: Actor) -> Actor:
        return replace(actor_of(self.admin, self.role, visitor), session_id=self.row.id, mfa_at=self.row.mfa_at)

    @property
    def awaits_second_step(self) -> bool:
        return self.admin.mfa_enrolled and self.row.mfa_at is None


def visitor(ip: str | None = None, user_agent: str | None = None, request_id: str | None = None) -> Actor:
    """Whoever knocks and has not said who they are."""
    return Actor(None, "Not signed in", frozenset(), ip=ip, user_agent=user_agent, request_id=request_id)


def actor_of(admin: Admin, role: Role, visitor: Actor) -> Actor:
    """The admin, acting from where the visitor stands."""
    return replace(
        visitor,
        admin_id=admin.id,
        name=admin.name,
        permissions=frozenset(role.permissions),
        email=admin.email,
        role_id=role.id,
        role_name=role.name,
        mfa_enrolled=admin.mfa_enrolled,
        timezone=admin.timezone,
        locale=admin.locale,
    )


def open_session(
    session: Session, admin_id: UUID, door: Door, visitor: Actor, *, mfa_at: datetime | None = None, expires_at: datetime | None = None
) -> tuple[AdminSession, str | None]:
    """A new row and, for the portal, the secret its cookie carries; only the secret's hash is kept."""
    secret = secrets.token_urlsafe(32) if door is Door.PORTAL else None
    row = AdminSession(
        admin_id=admin_id,
        door=door,
        token_hash=hashed(secret) if secret else None,
        expires_at=expires_at or now() + TOTAL,
        mfa_at=mfa_at,
        ip=visitor.ip,
        user_agent=visitor.user_agent,
    )
    session.add(row)
    session.flush()
    return row, secret


def renew(session: Session, actor: Actor, mfa_at: datetime | None, *, others_too: bool = False) -> tuple[AdminSession, str | None]:
    """A new session in place of the actor's, with its second step done: an id somebody planted or saw before is worth nothing now.

    `others_too`: in place of all that the actor has.
    """
    old = session.get_one(AdminSession, actor.session_id)
    old.revoked_at = now()
    assert actor.admin_id is not None
    if others_too:
        session.flush()
        revoke_all(session, actor.admin_id)
    return open_session(session, actor.admin_id, Door(old.door), actor, mfa_at=mfa_at, expires_at=old.expires_at)


def find_by_secret(session: Session, secret: str) -> SignedIn | None:
    """The portal's session whose cookie this is, if it is live."""
    return _find(session, AdminSession.token_hash == hashed(secret), Door.PORTAL)


def find_by_id(session: Session, session_id: UUID, door: Door) -> SignedIn | None:
    return _find(session, AdminSession.id == session_id, door)


def _find(session: Session, which: ColumnElement[bool], door: Door) -> SignedIn | None:
    live = [AdminSession.door == door, *_live()]
    if door is Door.PORTAL:
        live.append(AdminSession.last_seen_at > now() - IDLE)
    found = session.execute(
        select(AdminSession, Admin, Role)
        .join(Admin, Admin.id == AdminSession.admin_id)
        .join(Role, Role.id == Admin.role_id)
        .where(which, Admin.disabled_at.is_(None), *live)
        .execution_options(populate_existing=True)
    ).one_or_none()
    return SignedIn(*found) if found else None


def _live() -> list[ColumnElement[bool]]:
    return [AdminSession.revoked_at.is_(None), AdminSession.expires_at > now()]


def find_vouched(session: Session, admin_id: UUID | None, email: str | None) -> tuple[Admin, Role] | None:
    """The active admin an outside issuer speaks of, by id or by address."""
    ways = [Admin.id == admin_id] if admin_id else []
    if email and (address := normalised_email(email)):
        ways.append(Admin.email == address)
    if not ways:
        return None
    found = session.execute(
        select(Admin, Role).join(Role, Role.id == Admin.role_id).where(or_(*ways), Admin.disabled_at.is_(None)).limit(2)
    ).all()
    return (found[0][0], found[0][1]) if len(found) == 1 else None


def note_sign_of_life(session: Session, row: AdminSession) -> None:
    """Remember that the session is in use; doors call this when `stale`, at most once a minute."""
    session.execute(update(AdminSession).where(AdminSession.id == row.id).values(last_seen_at=now()))


def stale(row: AdminSession) -> bool:
    return now() - row.last_seen_at > SEEN_EVERY


def sign_out(session: Session, actor: Actor) -> int:
    """End the session the actor came with; 0 for somebody whose token an outside issuer made: there is no session."""
    ended = session.execute(
        update(AdminSession).where(AdminSession.id == actor.session_id, AdminSession.revoked_at.is_(None)).values(revoked_at=now())
    )
    count: int = ended.rowcount  # type: ignore[attr-defined]
    if count:
        audit.record(session, actor, "session.signed_out", object_type="admin_sessions", object_id=actor.session_id)
    return count


def sign_out_everywhere(session: Session, actor: Actor) -> int:
    """End every session of the actor, on every device; answers how many there were."""
    assert actor.admin_id is not None
    ended = revoke_all(session, actor.admin_id)
    audit.record(session, actor, "session.signed_out_everywhere", object_type="admin_users", object_id=actor.admin_id, sessions=ended)
    return ended


def revoke_all(session: Session, admin_id: UUID) -> int:
    """End every live session of this admin, whoever asks; the caller has checked that they may, and audits it."""
    live = [AdminSession.admin_id == admin_id, *_live()]
    return session.execute(update(AdminSession).where(*live).values(revoked_at=now())).rowcount  # type: ignore[attr-defined, no-any-return]


def normalised_email(raw: str) -> str:
    """The one spelling addresses are kept under; empty for what no address can be."""
    address = raw.strip().lower()
    return address if 3 <= len(address) <= 320 and "@" in address and address.isprintable() else ""


def hashed(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
