"""Requests are counted in memory and written once each, whoever writes at the same time and whatever fails on the way."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain.access import SYSTEM
from domain.db import now
from domain.traffic import queries, recording, writing
from domain.traffic.models import BEYOND, BOUNDS_MS, RequestMinute, WebProcess
from domain.traffic.queries import Traffic
from domain.traffic.recording import Recorder

FAST, SLOW = 0.004, 0.2


def write(engine, recorder):
    batch = recorder.take()
    with Session(engine) as session, session.begin():
        writing.write(session, recorder.process_id, batch)
    recorder.settle(batch)


def day(engine):
    with Session(engine) as session:
        return queries.last_day(session, SYSTEM)


def test_counts_of_many_processes_add_up(engine):
    def process(number):
        recorder = Recorder()
        for _ in range(10):
            for request in range(20):
                recorder.count("api" if request % 2 else "portal", 500 if request == 0 else 200, SLOW if request == 1 else FAST)
            write(engine, recorder)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(process, range(8)))
    found = day(engine)
    assert (found.requests, found.errors) == (1600, 80)
    assert found.microseconds == 80 * 200_000 + 1520 * 4_000
    assert found.mean_ms == pytest.approx(13.8)
    assert found.by_bound == {5: 1520, 250: 80}
    with Session(engine) as session:
        assert queries.web(session, SYSTEM).processes == 8


def test_a_batch_is_written_once_where_the_answer_to_its_commit_was_lost(engine):
    recorder = Recorder()
    recorder.count("api", 200, FAST)
    for _ in range(3):
        batch = recorder.take()
        with Session(engine) as session, session.begin():
            writing.write(session, recorder.process_id, batch)
        recorder.count("api", 200, FAST)  # never settled: nobody knows what became of it
    assert day(engine).requests == 1
    recorder.settle(batch)
    write(engine, recorder)
    assert day(engine).requests == 4


def test_what_fails_before_its_commit_is_written_later(engine):
    recorder = Recorder()
    recorder.count("api", 200, FAST)
    with pytest.raises(OperationalError), Session(engine) as session, session.begin():
        writing.write(session, recorder.process_id, recorder.take())
        raise OperationalError("the database went away", None, Exception())
    recorder.count("api", 503, FAST)
    assert day(engine).requests == 0
    write(engine, recorder)
    write(engine, recorder)
    assert (day(engine).requests, day(engine).errors) == (2, 1)


def test_what_is_kept_while_the_database_is_away_is_bounded(monkeypatch):
    monkeypatch.setattr(recording, "MOST_ENTRIES", 5)
    recorder = Recorder()
    recorder.count("api", 200, FAST)
    first = recorder.take()
    for bound in BOUNDS_MS[:-1]:
        recorder.count("api", 200, bound / 1000)
    assert recorder.take() is first
    recorder.settle(first)
    assert recorder.take().counts == {}


def test_the_web_is_up_since_the_first_of_those_who_took_over_from_each_other(engine):
    first, second, third = uuid4(), uuid4(), uuid4()
    with Session(engine) as session, session.begin():
        writing.write(session, first, Recorder().take())
        began = session.get(WebProcess, first).up_since
        writing.write(session, second, Recorder().take())
        writing.leave(session, first)
        writing.write(session, third, Recorder().take())
        writing.leave(session, second)
        assert queries.web(session, SYSTEM).up_since == began
        session.get(WebProcess, third).last_seen_at = now() - timedelta(minutes=1)
        assert queries.web(session, SYSTEM) == queries.Web(0, None)
        writing.write(session, uuid4(), Recorder().take())
        assert queries.web(session, SYSTEM).up_since > began


def test_the_last_24_hours_and_each_of_them(engine):
    moment = int(now().timestamp()) // 60
    counts = {(moment - minutes, "api", 2, 10): (1, 7_000) for minutes in (0, 30, 23 * 60, 23 * 60 + 59, 24 * 60 + 1, 3000)}
    with Session(engine) as session, session.begin():
        writing.add(session, counts)
    assert day(engine).requests == 4
    with Session(engine) as session:
        hours = queries.by_hour(session, SYSTEM)
    assert len(hours) == 24
    assert hours[-1].start <= now() < hours[-1].start + timedelta(hours=1)
    assert sum(hour.traffic.requests for hour in hours) in (3, 4)


def test_old_minutes_are_folded_and_nothing_is_lost(engine):
    moment = int(now().timestamp()) // 60
    with Session(engine) as session, session.begin():
        writing.add(session, {(moment - days * 1440, "api", 2, 10): (days + 1, 1000) for days in range(12)})
    for _ in range(2):
        with Session(engine) as session, session.begin():
            writing.fold_old(session)
        with Session(engine) as session:
            assert sum(total.requests for total in queries.totals(session, SYSTEM)) == sum(range(1, 13))
            assert session.scalar(select(func.count()).select_from(RequestMinute)) in (8, 9)


@pytest.mark.parametrize(
    ("by_bound", "p95"),
    [({}, None), ({5: 100}, 4.75), ({5: 90, 100: 10}, 75.0), ({BEYOND: 3}, 30_000.0), ({5: 95, 500: 5}, 5.0)],
)
def test_the_95th_percentile_lies_within_its_bounds(by_bound, p95):
    assert Traffic(requests=sum(by_bound.values()), by_bound=by_bound).p95_ms == p95


def test_counting_costs_far_less_than_a_tenth_of_a_millisecond():
    recorder = Recorder()
    began = time.process_time()
    for number in range(20_000):
        recorder.count("api", 200, number / 1_000_000)
    assert (time.process_time() - began) / 20_000 < 0.0001
