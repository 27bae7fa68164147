"""A bulk decision in real workers: killed in the middle, cancelled in the middle."""

import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.jobs import commands
from domain.jobs.models import Job
from domain.refunds import bulk
from domain.refunds.models import Refund
from tests.factories import actor_of, make_admin, make_refund
from tests.servers.portal import Portal
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

LATE = 99_006  # the sandbox takes the money at once and answers three seconds late


@pytest.fixture
def portal(database_url, request, tmp_path):
    settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data"), "GATEWAY_TIMEOUT_SECONDS": "8"}
    if database_url.startswith("postgresql"):
        settings["REDIS_URL"] = request.getfixturevalue("redis").url
    with Portal(settings) as portal:
        yield portal


@pytest.fixture
def admin(session):
    return make_admin(session)


@pytest.fixture
def job(session, admin):
    """Forty approvals; every tenth takes its time at the gateway."""
    ids = [make_refund(session, requested_amount_cents=5000 + number if number % 10 else LATE).id for number in range(1, 41)]
    job = bulk.start(session, actor_of(admin), action="approve", refund_ids=ids, reason="Nobody came", notify_vendor=False)
    session.commit()
    return job


@pytest.fixture
def seen(engine, job):
    """The job as it is now."""

    def look():
        with Session(engine) as session:
            return session.get_one(Job, job.id)

    return look


@pytest.fixture
def asked(engine):
    """Whether the gateway is being asked right now."""

    def look():
        with Session(engine) as session:
            return session.scalar(select(Refund.id).where(Refund.processing_state == "asking").limit(1)) is not None

    return look


def paid(portal):
    with closing(sqlite3.connect(portal.data_dir / "sandbox-gateway.db")) as ledger:
        return Counter(row[0] for row in ledger.execute("SELECT refund_request_id FROM refunds"))


def decided(engine):
    with Session(engine) as session:
        entries = session.scalars(select(AuditEntry.object_id).where(AuditEntry.action == "refund.approved"))
        return Counter(entries)


@pytest.mark.timeout(420)
def test_a_worker_that_is_killed_while_it_asks_the_gateway_decides_and_pays_nothing_twice(portal, job, seen, asked, engine):
    for rest in (10, 20):
        wait_until(lambda rest=rest: len(decided(engine)) >= rest and asked(), f"refund {rest} is at the gateway", seconds=90)
        portal.workers.pop().kill_group()
        killed = time.monotonic()
        before = seen()
        assert before.status == "processing"
        portal.start_worker()
        wait_until(lambda before=before: seen().attempts > before.attempts, "another worker goes on", seconds=60)
        print(f"taken up again {time.monotonic() - killed:.0f} s after the kill")
    wait_until(lambda: seen().status == "succeeded", "every refund has its verdict", seconds=120)

    left = seen()
    assert left.result["counts"] == {"paid": 40}, left.result["counts"]
    ids = left.payload["refund_ids"]
    assert [verdict["refund_id"] for verdict in left.result["verdicts"]] == ids
    assert paid(portal) == dict.fromkeys(ids, 1)
    assert decided(engine) == dict.fromkeys(ids, 1)
    assert left.losses == 2


def test_a_cancelled_one_decides_nothing_more_and_its_worker_says_so(portal, job, seen, engine, session, admin):
    wait_until(lambda: len(decided(engine)) >= 3, "it is on its way", seconds=60)
    with Session(engine) as own:
        commands.cancel(own, actor_of(own.get_one(type(admin), admin.id)), job.id)
        own.commit()
    cancelled = time.monotonic()
    count = len(decided(engine))
    wait_until(lambda: seen().cancel_acknowledged_at, "its worker has stopped", seconds=10)
    assert time.monotonic() - cancelled < 5  # a refund that was at the gateway is asked to its end
    assert len(decided(engine)) == count
    left = seen()
    assert left.status == "cancelled"
    assert left.result["counts"]["not_tried"] == 40 - count
    session.rollback()
    assert session.scalar(select(func.count()).select_from(Refund).where(Refund.status == "pending")) == 40 - count
