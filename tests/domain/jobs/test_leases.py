"""Who holds a job, and until when."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import perf_counter

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs import leases
from domain.jobs.commands import Holder, enqueue
from domain.jobs.models import Job, JobEvent
from domain.jobs.outcomes import Again, Done, Failed
from tests.factories import make_refund
from tests.many import multiply

OVER = timedelta(seconds=-1)


@pytest.fixture
def job(session):
    job = enqueue(session, "notification", max_attempts=3)
    session.commit()
    return job


def test_of_many_workers_one_wins(engine, job):
    def claim(number):
        with Session(engine) as session, session.begin():
            return leases.claim(session, job.id, f"worker {number}") is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(16))) == 1


def test_a_job_that_is_not_due_cannot_be_claimed(session):
    job = enqueue(session, "notification", run_after=now() + timedelta(minutes=1))
    session.flush()
    assert leases.claim(session, job.id, "a") is None


def test_a_claim_costs_no_more_when_many_jobs_wait(session):
    def cost():
        tries = []
        for _ in range(7):
            began = perf_counter()
            assert len(leases.claim_due(session, 32, "a", never_lost=True)) == 32
            tries.append(perf_counter() - began)
            session.rollback()
        return min(tries)

    job = enqueue(session, "notification")
    session.flush()
    multiply(session, job, 100)
    session.commit()
    few = cost()
    multiply(session, session.get(Job, job.id), 10_000)
    session.commit()
    assert cost() < 8 * few


def test_what_came_of_it_is_written_by_its_holder_alone(session, job):
    leases.claim(session, job.id, "a")
    assert leases.finish(session, job.id, "b", Done({"by": "b"})) is False
    assert leases.finish(session, job.id, "a", Done({"by": "a"})) is True
    session.refresh(job)
    assert (job.status, job.result, job.progress_percent) == ("succeeded", {"by": "a"}, 100)
    assert leases.finish(session, job.id, "a", Failed("X", "y")) is False


def test_a_failure_keeps_its_reason(session, job):
    leases.claim(session, job.id, "a")
    leases.finish(session, job.id, "a", Failed("DECLINED", "The card was closed"))
    session.refresh(job)
    assert (job.status, job.error) == ("failed", {"code": "DECLINED", "message": "The card was closed"})


def test_again_waits_its_time(session, job):
    leases.claim(session, job.id, "a")
    leases.finish(session, job.id, "a", Again(60, "Waiting"))
    session.refresh(job)
    assert (job.status, job.stage) == ("pending", "Waiting")
    assert leases.sweep(session) == []
    assert leases.claim(session, job.id, "b") is None


def test_a_renewed_lease_holds(session, job):
    leases.claim(session, job.id, "a", OVER)
    assert leases.renew(session, job.id, "a") is True
    assert leases.sweep(session) == []
    assert leases.renew(session, job.id, "b") is False


def test_what_a_dead_worker_held_is_freed_and_rung_for(session, job):
    leases.claim(session, job.id, "a", OVER)
    assert leases.nothing_to_sweep(session) is False
    assert leases.sweep(session) == [job.id]
    assert leases.claim(session, job.id, "b") is not None
    assert leases.finish(session, job.id, "a", Done()) is False


def test_a_job_that_loses_every_worker_fails(session, job):
    for _ in range(job.max_attempts):
        leases.claim(session, job.id, "a", OVER)
        leases.sweep(session)
    session.refresh(job)
    assert (job.status, job.error["code"]) == ("failed", "WORKER_LOST")
    lines = session.scalars(select(JobEvent.event).where(JobEvent.job_id == job.id, JobEvent.event.not_in(("claimed", "lost"))))
    assert lines.all() == ["failed"]


def test_of_many_sweeps_one_writes_that_a_worker_was_lost(engine, session, job):
    leases.claim(session, job.id, "a", OVER)
    session.commit()

    def sweep(_number):
        with Session(engine) as own, own.begin():
            return leases.sweep(own)

    with ThreadPoolExecutor(8) as pool:
        rung = list(pool.map(sweep, range(8)))
    assert sorted(rung) == [[]] * 7 + [[job.id]]
    session.refresh(job)
    assert (job.status, job.losses) == ("pending", 1)
    assert session.scalar(select(func.count()).select_from(JobEvent).where(JobEvent.event == "lost")) == 1


def test_a_lost_ring_is_rung_again_after_a_while_and_not_all_the_time(session, job):
    assert leases.sweep(session) == []  # rung for when it was made
    job.dispatched_at = now() - timedelta(seconds=31)
    session.flush()
    assert leases.sweep(session) == [job.id]
    assert leases.sweep(session) == []


def test_a_job_that_begins_held_is_nobody_elses_until_its_lease_is_over(session):
    job = enqueue(session, "notification", holder=Holder("web:1", -1))
    session.flush()
    assert leases.claim(session, job.id, "a") is None
    assert leases.sweep(session) == [job.id]
    assert leases.claim(session, job.id, "a") is not None


def test_one_live_job_for_each_subject(session):
    refund = make_refund(session)
    enqueue(session, "refund_processing", subject_id=refund.id)
    session.flush()
    with pytest.raises(IntegrityError):
        session.add(Job(type="refund_processing", subject_id=refund.id))
        session.flush()
