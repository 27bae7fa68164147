"""The queue is told after the commit, and only then."""

from uuid import uuid4

import pytest
from sqlalchemy.orm import sessionmaker

from domain.jobs.commands import Holder, enqueue
from tasks import outbox
from tasks.queue import Bell


@pytest.fixture
def rung():
    return []


@pytest.fixture
def session(engine, rung):
    sessions = sessionmaker(engine, expire_on_commit=False)
    outbox.connect(sessions, rung.extend)
    with sessions() as session:
        yield session


def test_a_job_is_rung_for_only_after_its_commit(session, rung):
    job = enqueue(session, "notification")
    session.flush()
    assert rung == []
    session.commit()
    assert rung == [job.id]


def test_a_transaction_rings_a_few_times_however_many_jobs_it_makes(session, rung):
    jobs = [enqueue(session, "notification") for _ in range(outbox.MOST_RINGS * 3)]
    session.commit()
    assert len(rung) == outbox.MOST_RINGS
    assert set(rung) < {job.id for job in jobs}


def test_a_savepoint_is_not_a_commit(session, rung):
    with session.begin_nested():
        job = enqueue(session, "notification")
    assert rung == []
    session.commit()
    assert rung == [job.id]


def test_a_job_that_was_rolled_back_is_never_rung_for(session, rung):
    enqueue(session, "notification")
    session.flush()
    session.rollback()
    job = enqueue(session, "notification")
    session.commit()
    assert rung == [job.id]


def test_a_job_that_somebody_already_works_on_is_not_rung_for(session, rung):
    enqueue(session, "notification", holder=Holder("web:1", 10))
    session.commit()
    assert rung == []


def test_a_broken_bell_breaks_nothing(tmp_path, caplog):
    import config

    settings = config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"})
    Bell(settings).ring([uuid4()])
    assert "the sweep will" in caplog.text
