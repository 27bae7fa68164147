from datetime import timedelta

from sqlalchemy import select, update

from domain import throttle
from domain.db import now
from domain.identity import sessions, tidying, tokens
from domain.identity.models import AdminSession, Door, Invitation, RefreshToken
from domain.throttle import Limit, ThrottleCounter
from tests.factories import make_invitation


def test_sessions_that_ended_a_while_ago_go_with_their_refresh_tokens(session, admin, visitor, tokens):
    kept = make(session, admin, visitor, tokens)
    long_over = make(session, admin, visitor, tokens)
    long_revoked = make(session, admin, visitor, tokens)
    just_revoked = make(session, admin, visitor, tokens)
    ago = now() - timedelta(days=8)
    session.execute(update(AdminSession).where(AdminSession.id == long_over.id).values(expires_at=ago))
    session.execute(update(AdminSession).where(AdminSession.id == long_revoked.id).values(revoked_at=ago))
    session.execute(update(AdminSession).where(AdminSession.id == just_revoked.id).values(revoked_at=now()))

    tidying.forget_old(session)

    left = {kept.id, just_revoked.id}
    assert set(session.scalars(select(AdminSession.id))) == left
    assert set(session.scalars(select(RefreshToken.session_id))) == left


def make(session, admin, visitor, access_tokens) -> AdminSession:
    row, _ = sessions.open_session(session, admin.id, Door.API, visitor)
    tokens.issue(session, access_tokens, row)
    session.flush()
    return row


def test_tries_go_when_every_window_is_over(session):
    limit = Limit("sign_in_account", 10, timedelta(minutes=5))
    throttle.count_try(session, limit, "old")
    session.execute(update(ThrottleCounter).values(window_start=now() - timedelta(days=2)))
    throttle.count_try(session, limit, "new")

    tidying.forget_old(session)

    assert session.scalars(select(ThrottleCounter.subject)).all() == [throttle.hashed("new")]


def test_invitations_go_a_month_after_they_expired(session):
    kept = make_invitation(session, expires_at=now() - timedelta(days=29))
    make_invitation(session, expires_at=now() - timedelta(days=31))

    tidying.forget_old(session)

    assert session.scalars(select(Invitation.id)).all() == [kept.id]
