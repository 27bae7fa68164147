"""Forgetting what no longer proves anything."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from domain.db import now
from domain.identity.models import AdminSession, Invitation, RefreshToken
from domain.throttle import ThrottleCounter

SESSIONS_KEPT = timedelta(days=7)  # after their end, so that a reused refresh token is still known for what it is
INVITATIONS_KEPT = timedelta(days=30)  # after they expired, so that one can be sent again
TRIES_KEPT = timedelta(days=1)  # longer than any window


def forget_old(session: Session) -> None:
    """Delete the sessions that ended a while ago, with their refresh tokens, old invitations, and the tries of windows that are over."""
    before = now() - SESSIONS_KEPT
    over = select(AdminSession.id).where(or_(AdminSession.expires_at < before, AdminSession.revoked_at < before))
    session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(over)), execution_options={"synchronize_session": False})
    session.execute(delete(AdminSession).where(AdminSession.id.in_(over)), execution_options={"synchronize_session": False})
    session.execute(delete(Invitation).where(Invitation.expires_at < now() - INVITATIONS_KEPT))
    session.execute(delete(ThrottleCounter).where(ThrottleCounter.window_start < now() - TRIES_KEPT))
