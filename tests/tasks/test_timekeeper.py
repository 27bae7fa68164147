from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import now
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from tasks import timekeeper
from tests.factories import make_admin


def test_tidying_forgets_what_is_over_and_keeps_the_rest(context, engine):
    with Session(engine) as session:
        admin = make_admin(session)
        for end in (now() - timedelta(days=30), now() + timedelta(hours=1)):
            sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor(), expires_at=end)
        session.commit()

    timekeeper.tidy(context, None)

    with Session(engine) as session:
        assert [row.expires_at > now() for row in session.scalars(select(AdminSession))] == [True]
