"""A worker is seen while it lives, and for a while after it died."""

import signal
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs import workers
from domain.jobs.commands import enqueue
from domain.jobs.models import WorkerHeartbeat
from tasks.presence import Presence
from tasks.runner import Runner
from tests.servers.portal import Portal
from tests.waiting import wait_until


def living(engine):
    with Session(engine) as session:
        return [(row.pid, row.threads, row.jobs_running) for row in workers.living(session)]


def test_each_beat_renews_one_row_and_the_end_removes_it(context, engine):
    presence = Presence(Runner(context), threads=3)
    presence.beat(context)
    presence.runner.held[uuid4()] = None
    presence.beat(context)
    [(_, threads, running)] = living(engine)
    assert (threads, running) == (3, 1)
    presence.end(context)
    assert living(engine) == []


def test_one_that_died_is_not_living_and_is_forgotten_in_time(context, engine):
    with Session(engine) as session:
        for minutes in (1, 90):
            seen = now() - timedelta(minutes=minutes)
            session.add(WorkerHeartbeat(host="gone", pid=minutes, started_at=seen, last_seen_at=seen, threads=4, jobs_running=1))
        session.commit()
    assert living(engine) == []
    Presence(Runner(context), threads=4).beat(context)
    with Session(engine) as session:
        assert [row.pid for row in session.scalars(select(WorkerHeartbeat).where(WorkerHeartbeat.host == "gone"))] == [1]


@pytest.mark.processes
def test_a_worker_is_seen_from_its_start_to_its_end(database_url, engine, session, tmp_path):
    with Portal({"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data")}) as portal:
        worker = portal.workers[0]
        wait_until(lambda: living(engine), "the worker is seen", seconds=30)
        assert living(engine)[0][:2] == (worker.pid, 4)
        job = enqueue(session, "refund_reconcile")
        job.dispatched_at = None  # nothing rings for this session, so the sweep is to
        session.commit()
        wait_until(lambda: session.refresh(job) or session.commit() or job.status == "succeeded", "it takes jobs", seconds=60)
        worker.send(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert living(engine) == []
