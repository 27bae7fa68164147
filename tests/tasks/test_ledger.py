"""Brisk jobs share transactions; what waits too long is handed back; nothing that was done is lost over what was not."""

from threading import Event, Thread

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain.jobs import leases
from domain.jobs.commands import enqueue
from domain.jobs.models import Job, JobEvent
from domain.jobs.outcomes import Done, Failed
from tasks import ledger as ledgers
from tasks.ledger import Finish, Ledger
from tasks.runner import Runner
from tests.waiting import wait_until


@pytest.fixture
def due(session):
    """So many jobs, in the order in which they wait."""

    def make(count, **fields):
        jobs = [enqueue(session, "trial") for _ in range(count)]
        for job in jobs:
            for name, value in fields.items():
                setattr(job, name, value)
            session.flush()
        session.commit()
        return [job.id for job in jobs]

    return make


@pytest.fixture
def states(engine):
    def look(ids):
        with Session(engine) as session:
            found = dict(session.execute(select(Job.id, Job.status).where(Job.id.in_(ids))).all())
        return [found[id] for id in ids]

    return look


def brisk(ledger):
    ledger.pace = 0.0001
    return ledger


def claimed(ledger, ids):
    with ledger.context.sessions.begin() as session:
        return {job.id: job for job in leases.claim_several(session, ids, "an owner")}


def test_a_ring_is_answered_with_all_that_is_due_each_job_once(context, due, states, engine):
    ids = due(120)
    done = []
    runner = Runner(context, {"trial": lambda work: done.append(work.job.id) or Done()})
    threads = [Thread(target=runner.answer, args=(ids[place],)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(ids)
    assert states(ids) == ["succeeded"] * 120
    with Session(engine) as session:
        lines = session.execute(select(JobEvent.job_id, JobEvent.event)).all()
    assert sorted(lines) == sorted((id, event) for id in ids for event in ("claimed", "succeeded"))


def test_work_that_takes_its_time_is_claimed_one_by_one(context, due, states):
    ids = due(3)
    ledger = Ledger(context, "a worker")
    ledger.next()
    assert sorted(states(ids)) == ["pending", "pending", "processing"]


def test_brisk_work_is_claimed_several_at_once(context, due, states):
    ids = due(3)
    brisk(Ledger(context, "a worker")).next()
    assert states(ids) == ["processing"] * 3


def test_a_job_that_a_worker_was_lost_over_takes_no_others_with_it(context, due, states):
    lost, fine = due(2, losses=1), due(2)
    ledger = brisk(Ledger(context, "a worker"))
    assert {ledger.next().id for _ in fine} == set(fine)
    assert states(lost) == ["pending"] * 2
    assert ledger.next().id in lost
    assert sorted(states(lost)) == ["pending", "processing"]


def test_what_no_thread_came_to_begin_is_handed_back_as_if_never_claimed(context, due, session, monkeypatch):
    ids = due(4)
    ledger = brisk(Ledger(context, "a worker"))
    begun = ledger.next()
    ledger.hand_back()
    assert ledger.take_claimed() is not None  # not yet: it was claimed just now
    monkeypatch.setattr(ledgers, "HANDED_BACK_AFTER", 0)
    ledger.hand_back()
    left = session.scalars(select(Job).where(Job.id.in_(ids), Job.status == "pending")).all()
    assert len(left) == 2
    assert {(job.attempts, job.losses, job.lease_owner, job.dispatched_at) for job in left} == {(0, 0, None, None)}
    assert begun.id not in {job.id for job in left}


def test_a_worker_that_is_to_end_hands_back_what_it_has_not_begun_and_writes_what_it_has_done(context, due, states):
    ids = due(30)

    def work(_work):
        if len(begun) == 5:
            context.stopping.set()
        begun.append(1)
        return Done()

    begun = []
    runner = Runner(context, {"trial": work})
    brisk(runner.ledger)
    runner.answer(ids[0])
    assert len(begun) == 6
    assert sorted(states(ids)) == ["pending"] * 24 + ["succeeded"] * 6


def test_an_outcome_that_spoils_the_transaction_spoils_it_for_itself_alone(context, due, states, caplog):
    ids = due(3)
    held = claimed(ledger := Ledger(context, "a worker"), ids)
    told = {}

    def spoil(session):
        session.execute(text("INSERT INTO job_events (id) VALUES (NULL)"))

    for id, outcome in zip(ids, (Done({"rows": 1}), Done(then=spoil), Failed("X", "y")), strict=True):
        ledger.finish(Finish(id, held[id].lease_owner, outcome, lambda kept, id=id: told.update({id: kept})), 1.0)
    ledger.flush()
    assert states(ids) == ["succeeded", "processing", "failed"]
    assert told == {ids[0]: True, ids[2]: True}
    assert "could not be written" in caplog.text


def test_what_a_database_that_was_away_did_not_take_it_takes_later(context, due, states, monkeypatch):
    [id] = due(1)
    held = claimed(ledger := Ledger(context, "a worker"), [id])
    ledger.finish(Finish(id, held[id].lease_owner, Done(), lambda kept: None), 1.0)
    with monkeypatch.context() as away:
        away.setattr(leases, "finish_alike", broken)
        with pytest.raises(OperationalError):
            ledger.flush()
    assert states([id]) == ["processing"]
    ledger.flush()
    assert states([id]) == ["succeeded"]


def broken(*_arguments):
    raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))


def test_a_run_that_lost_its_job_hears_of_it(context, due, states):
    ids = due(2)
    held = claimed(ledger := Ledger(context, "a worker"), ids)
    told = []
    ledger.finish(Finish(ids[0], "somebody else", Done(), told.append), 1.0)
    ledger.finish(Finish(ids[1], held[ids[1]].lease_owner, Done(), told.append), 1.0)
    ledger.flush()
    assert told == [False, True]
    assert states(ids) == ["processing", "succeeded"]


def test_what_goes_wrong_after_an_outcome_was_written_changes_nothing_of_it(context, due, states, caplog):
    ids = due(3)
    held = claimed(ledger := Ledger(context, "a worker"), ids[:2])
    told = []

    def storage_is_away(_kept):
        raise OSError("no file can be removed now")

    ledger.finish(Finish(ids[0], held[ids[0]].lease_owner, Done({"rows": 1}), storage_is_away), 1.0)
    ledger.finish(Finish(ids[1], held[ids[1]].lease_owner, Done(), told.append), 1.0)
    assert ledger.next().id == ids[2]
    assert states(ids) == ["succeeded", "succeeded", "processing"]
    assert told == [True]
    assert "no file can be removed now" in caplog.text


def test_long_work_met_among_brisk_work_holds_up_no_other(context, due, states):
    ids = due(8)
    release = Event()
    runner = Runner(context, {"trial": lambda work: (release.wait(20) if work.job.id == ids[3] else None) and None or Done()})
    brisk(runner.ledger)
    runner.start_heartbeat()
    thread = Thread(target=runner.answer, args=(ids[0],))
    thread.start()
    others = [id for id in ids if id != ids[3]]
    wait_until(lambda: states(others) == ["succeeded"] * 3 + ["pending"] * 4, "what was done is written, and the rest handed back")
    Runner(context, runner.handlers).answer(ids[4])
    assert set(states(others)) == {"succeeded"}
    release.set()
    thread.join()
    assert states(ids) == ["succeeded"] * 8
