"""/audit: who did what, as people read it."""

import pytest
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from tests.factories import actor_for, make_admin, make_refund


@pytest.fixture
def write(engine):
    """Writes an entry of an admin's, or of the system's, and answers it."""

    def write(action, subject=None, actor=SYSTEM, **told):
        with Session(engine, expire_on_commit=False) as session:
            audit.record(session, actor, action, subject, **told)
            session.commit()
            return session.query(AuditEntry).order_by(AuditEntry.sequence.desc()).first()

    return write


@pytest.fixture
def ravi(engine):
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, name="Ravi Iyer", email="ravi@example.com")
        session.commit()
        return actor_for(admin, ip="203.0.113.7", request_id="request-1")


def test_the_log_tells_who_did_what_to_which_and_what_it_changed(mira, made, write, ravi):
    refund = made(make_refund)
    entry = write("refund.rejected", refund, ravi, before={"status": "pending"}, after={"status": "rejected"}, reason="Photos show it done")

    page = mira.open("/audit").text

    assert "Refund rejected" in page and "Photos show it done" in page and "Ravi Iyer" in page and "203.0.113.7" in page
    assert f'<a class="a-link truncate" href="/refunds/{refund.id}">{refund.refund_number}</a>' in page
    assert "was </span>pending</del>" in page and "now </span>rejected</ins>" in page
    assert f"/audit/{entry.id}" in page
