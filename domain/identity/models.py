from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.db import Identified, LongText, Timestamp, now
from domain.roles.models import Role


class Admin(Identified):
    """Someone who works in the portal. `email` is kept in lower case; times of the second factor are 30-second TOTP steps."""

    __tablename__ = "admin_users"

    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id"), index=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    totp_secret: Mapped[str | None] = mapped_column(String(255))  # sealed with a key that is not in the database
    totp_confirmed_at: Mapped[Timestamp | None]
    totp_pending_secret: Mapped[str | None] = mapped_column(String(255))  # shown as a QR code, not confirmed yet
    totp_last_step: Mapped[int] = mapped_column(default=0)
    disabled_at: Mapped[Timestamp | None]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    locale: Mapped[str] = mapped_column(String(20), default="en_IN")
    created_at: Mapped[Timestamp] = mapped_column(default=now)

    role: Mapped[Role] = relationship(lazy="raise")

    @property
    def mfa_enrolled(self) -> bool:
        return self.totp_confirmed_at is not None

    @property
    def active(self) -> bool:
        return self.disabled_at is None


class Invitation(Identified):
    """Somebody who is to become an admin. Only the hash of the link's token is kept; `nonce` is what the token is made of, with a key
    that is not in the database, so that the mail can be written again."""

    __tablename__ = "admin_invitations"
    __table_args__ = (
        Index(
            "ix_admin_invitations_email_open",
            "email",
            unique=True,
            sqlite_where=text("accepted_at IS NULL AND withdrawn_at IS NULL"),
            postgresql_where=text("accepted_at IS NULL AND withdrawn_at IS NULL"),
        ),
    )

    email: Mapped[str] = mapped_column(String(320))
    name: Mapped[str] = mapped_column(String(200))
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id"), index=True)
    nonce: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    expires_at: Mapped[Timestamp]
    accepted_at: Mapped[Timestamp | None]
    withdrawn_at: Mapped[Timestamp | None]

    @classmethod
    def still_open(cls) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return cls.accepted_at.is_(None), cls.withdrawn_at.is_(None)

    @property
    def open(self) -> bool:
        """Neither accepted nor withdrawn; it may have expired, and can then be sent again."""
        return self.accepted_at is None and self.withdrawn_at is None

    @property
    def expired(self) -> bool:
        return self.expires_at <= now()


class RecoveryCode(Identified):
    """One of ten codes that stand in for a lost phone, once each."""

    __tablename__ = "recovery_codes"

    admin_id: Mapped[UUID] = mapped_column(ForeignKey("admin_users.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    used_at: Mapped[Timestamp | None]


class Door(StrEnum):
    PORTAL = "portal"
    API = "api"


class AdminSession(Identified):
    """One sign-in. For the portal `token_hash` is of the cookie's secret; for the API the tokens name the row (`sid`)."""

    __tablename__ = "admin_sessions"
    __table_args__ = (
        CheckConstraint("door IN ('portal', 'api')", name="door_known"),
        Index("ix_admin_sessions_admin_id_revoked_at", "admin_id", "revoked_at"),
    )

    admin_id: Mapped[UUID] = mapped_column(ForeignKey("admin_users.id"))
    door: Mapped[str] = mapped_column(String(10))
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    last_seen_at: Mapped[Timestamp] = mapped_column(default=now)
    expires_at: Mapped[Timestamp]
    mfa_at: Mapped[Timestamp | None]
    revoked_at: Mapped[Timestamp | None]
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[LongText | None]

    admin: Mapped[Admin] = relationship(lazy="raise")


class RefreshToken(Identified):
    """A rotating refresh token; using one twice revokes the session it belongs to."""

    __tablename__ = "refresh_tokens"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("admin_sessions.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    expires_at: Mapped[Timestamp]
    used_at: Mapped[Timestamp | None]
