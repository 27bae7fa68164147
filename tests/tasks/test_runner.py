"""What a worker does with a job, and what it leaves behind when something breaks."""

from dataclasses import replace

import pytest

import config
from domain.jobs.commands import enqueue
from domain.jobs.outcomes import Again, Done
from tasks.context import make_context
from tasks.runner import TRIES_AFTER_AN_ERROR, Runner


@pytest.fixture
def context(settings):
    context = make_context(config.load(settings))
    yield context
    context.engine.dispose()


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
