"""The worker as a process: killed, asked to end, and cut off from its queue."""

import signal
import time

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from domain.refunds import commands
from domain.refunds.models import Refund
from domain.refunds.policy import RefundPolicy
from tests.factories import actor_of, make_admin, make_refund
from tests.servers.portal import Portal
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def portal(database_url, request, tmp_path):
    settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data"), "GATEWAY_TIMEOUT_SECONDS": "20"}
    if database_url.startswith("postgresql"):
        settings["REDIS_URL"] = request.getfixturevalue("redis").url
    with Portal(settings) as portal:
        yield portal


@pytest.fixture
def approve(session):
    """Approve a refund behind the queue's back: the row is written, the bell is never rung."""

    def approve_one(amount):
        refund = make_refund(session, requested_amount_cents=amount)
        commands.approve(
            session, actor_of(make_admin(session)), RefundPolicy({"INR": 8_500_000}), refund.id, reason="Nobody came", notify_user=False,
            notify_vendor=False,
        )  # fmt: skip
        session.commit()
        return refund.id

    return approve_one


def ended(engine, refund_id):
    with Session(engine) as session:
        return session.scalar(select(Refund.transaction_id).where(Refund.id == refund_id))


def asked(engine, refund_id):
    with Session(engine) as session:
        return session.scalar(select(Refund.processing_state).where(Refund.id == refund_id)) == "asking"


def test_a_job_the_queue_never_heard_of_is_done_within_a_minute(portal, approve, engine):
    refund_id = approve(5000)
    wait_until(lambda: ended(engine, refund_id), "the sweep finds the job", seconds=60)


def test_a_killed_workers_job_is_done_by_the_next_within_a_minute(portal, approve, engine):
    refund_id = approve(99_006)  # the sandbox answers this amount late
    wait_until(lambda: asked(engine, refund_id), "the worker asks the gateway", seconds=60)
    portal.workers.pop().kill_group()
    portal.start_worker()
    killed = time.monotonic()
    wait_until(lambda: ended(engine, refund_id), "another worker goes on", seconds=60)
    with Session(engine) as session:
        job = session.scalars(select(Job).where(Job.subject_id == refund_id)).one()
        wait_until(lambda: session.refresh(job) or session.commit() or job.status == "succeeded", "the job is finished", seconds=10)
        assert job.losses == 1
    print(f"rescued {time.monotonic() - killed:.0f} s after the kill")


def test_term_lets_a_running_job_end(portal, approve, engine):
    refund_id = approve(99_006)
    wait_until(lambda: asked(engine, refund_id), "the worker asks the gateway", seconds=60)
    worker = portal.workers.pop()
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert ended(engine, refund_id)


def test_a_queue_that_forgets_everything_loses_no_job(portal, engine, session, request, database_url):
    if database_url.startswith("sqlite"):
        for file in portal.data_dir.glob("queue.db*"):
            file.unlink()
        portal.workers.pop().kill_group()
        portal.start_worker()
    else:
        request.getfixturevalue("redis").flush()
    job = enqueue(session, "refund_reconcile")
    session.commit()
    wait_until(lambda: session.refresh(job) or session.commit() or job.status == "succeeded", "the job is done", seconds=60)
