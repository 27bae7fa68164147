"""When the demo may be loaded, and that it is the same each time."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from adapters.gateways.sandbox import SandboxGateway
from domain.access import operator
from domain.errors import Forbidden
from domain.identity.mfa import Sealer
from domain.identity.passwords import Passwords
from domain.marketplace import demo
from domain.refunds.models import Refund
from domain.refunds.policy import RefundPolicy
from tests.factories import actor_for, make_admin, make_user

POLICY = RefundPolicy({"INR": 8_500_000, "USD": 100_000})


@pytest.fixture
def tools(tmp_path):
    return demo.Tools(Passwords(memory_kib=8, time_cost=1), Sealer(bytes(32)), POLICY, SandboxGateway(tmp_path / "ledger.db", 5))


def test_two_loads_differ_in_nothing_but_ids(engine, tools, session):
    moment = datetime(2025, 3, 1, 12, tzinfo=UTC)
    contents = []
    for _ in range(2):
        demo.load(session, operator(), tools, 60, moment)
        contents.append(
            [
                (row.refund_number, row.status, row.requested_amount_cents, row.description, row.evidence, row.requested_at)
                for row in session.scalars(select(Refund).order_by(Refund.refund_number))
            ]
        )
        session.rollback()
        session.expunge_all()
    assert contents[0] == contents[1]
    assert len(contents[0]) == 60


@pytest.mark.parametrize("make", [make_admin, make_user])
def test_it_refuses_a_database_in_use(session, tools, make):
    make(session)
    with pytest.raises(demo.NotEmpty, match="only for an empty one"):
        demo.load(session, operator(), tools, 60)
    assert session.scalar(select(func.count()).select_from(Refund)) == 0


def test_it_needs_the_permission(session, tools):
    with pytest.raises(Forbidden):
        demo.load(session, actor_for(make_admin(session)), tools, 60)
