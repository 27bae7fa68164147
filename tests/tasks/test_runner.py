"""What a worker does with a job, and what it leaves behind when something breaks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from domain.access import SYSTEM
from domain.db import now
from domain.jobs import leases
from domain.jobs.commands import cancel, enqueue
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, ResultFile
from tasks.runner import TRIES_AFTER_AN_ERROR, Runner


@pytest.fixture
def run(context, session):
    """Run a fresh job with this handler and show how it is left."""

    def run_once(handler, type="trial", **fields):
        job = enqueue(session, type, **fields)
        session.commit()
        Runner(context, {"trial": handler}).run(job.id)
        session.refresh(job)
        session.commit()
        return job

    return run_once


def test_it_writes_what_came_of_the_work(run):
    job = run(lambda work: Done({"rows": 3}))
    assert (job.status, job.result, job.attempts) == ("succeeded", {"rows": 3}, 1)
    assert job.lease_owner is None


def test_an_unexpected_error_is_tried_again_and_says_so(run, caplog):
    job = run(lambda work: 1 / 0)
    assert (job.status, job.error) == ("pending", None)
    assert "ZeroDivisionError" in job.stage
    assert "ZeroDivisionError" in caplog.text


def test_an_error_that_stays_ends_as_failed_without_its_details(run, context, session):
    job = enqueue(session, "trial")
    session.flush()
    job.attempts = TRIES_AFTER_AN_ERROR - 1
    session.commit()
    Runner(context, {"trial": lambda work: {}["a secret"]}).run(job.id)
    session.refresh(job)
    assert job.status == "failed"
    assert job.error["code"] == "UNEXPECTED_ERROR"
    assert "secret" not in job.error["message"]


def test_a_type_nobody_knows_fails_in_words(run):
    job = run(None, type="from_the_future")
    assert (job.status, job.error["code"]) == ("failed", "UNKNOWN_TYPE")


def test_again_hands_it_back(run):
    job = run(lambda work: Again(30, "Waiting for the gateway"))
    assert (job.status, job.stage) == ("pending", "Waiting for the gateway")


def test_a_worker_that_is_to_end_begins_nothing(run, context):
    context.stopping.set()
    assert run(lambda work: Done()).status == "pending"


def test_a_database_that_is_away_raises_nothing(context, session, caplog):
    job = enqueue(session, "trial")
    session.commit()
    broken = replace(context, sessions=type(context.sessions)(config_engine()))
    Runner(broken, {}).run(job.id)
    assert "the database failed" in caplog.text


def config_engine():
    from domain.db import make_engine

    return make_engine("postgresql://nobody@127.0.0.1:1/nothing")


def test_each_run_has_a_folder_of_its_own_and_leaves_none(run, context):
    def overtaken(work):
        (work.folder / "half").write_text("of it")
        with Session(context.engine) as session, session.begin():
            session.get_one(Job, work.job.id).lease_until = now() - timedelta(seconds=1)
        with Session(context.engine) as session, session.begin():
            assert leases.sweep(session) == [work.job.id]
        Runner(context, {"trial": overtaking}).run(work.job.id)
        return Done({"by": "the first"})

    def overtaking(work):
        folder = work.folder
        (folder / "whole").write_text("all of it")
        return Done({"files": [path.name for path in folder.iterdir()]})

    job = run(overtaken)
    assert job.result == {"files": ["whole"]}
    assert list((context.config.data_dir / "work").iterdir()) == []


@pytest.fixture
def keep(context, tmp_path):
    """What an export does last: its file goes into storage."""

    def keep_file(work):
        stored = f"exports/{work.job.id}.csv"
        made = tmp_path / work.owner
        made.write_text("rows")
        context.storage.save(stored, made)
        return Done({}, ResultFile(stored, "export.csv", "text/csv"))

    return keep_file


def test_a_worker_that_was_overtaken_leaves_the_others_file_alone(run, context, keep):
    def overtaken(work):
        with Session(context.engine) as session, session.begin():
            session.get_one(Job, work.job.id).lease_until = now() - timedelta(seconds=1)
        with Session(context.engine) as session, session.begin():
            assert leases.sweep(session) == [work.job.id]
        Runner(context, {"trial": keep}).run(work.job.id)
        return keep(work)

    job = run(overtaken)
    assert (job.status, job.losses) == ("succeeded", 1)
    pieces, _ = context.storage.open(job.result_file)
    assert b"".join(pieces) == b"rows"


def test_the_file_of_a_job_that_was_cancelled_in_its_last_step_is_removed(context, session, keep):
    def cancelled_meanwhile(work):
        outcome = keep(work)
        with Session(context.engine) as own, own.begin():
            cancel(own, SYSTEM, work.job.id)
        return outcome

    job = enqueue(session, "analytics_export")
    session.commit()
    Runner(context, {"analytics_export": cancelled_meanwhile}).run(job.id)
    session.refresh(job)
    assert (job.status, job.result_file) == ("cancelled", None)
    assert job.cancel_acknowledged_at is not None
    with pytest.raises(FileNotFoundError):
        context.storage.open(f"exports/{job.id}.csv")
