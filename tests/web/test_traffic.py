"""What is counted of requests, what that costs, and that it outlives the processes."""

import shutil
import statistics
import time
from collections import Counter

import httpx
import pytest
from sqlalchemy.orm import Session

import config
from domain.access import SYSTEM
from domain.traffic import queries
from tests.servers.portal import Portal
from tests.waiting import wait_until
from web import traffic
from web.traffic import Writer
from wsgi import create_app


def day(engine):
    with Session(engine) as session:
        return queries.last_day(session, SYSTEM)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_answers_are_counted_and_those_to_probes_and_for_files_are_not(app, client):
    for path in ("/login", "/nothing", "/api/v1/admin/me", "/api/nothing", "/healthz", "/readyz", "/metrics", "/assets/old/portal.css"):
        client.get(path)
    found = Counter()
    for (_minute, door, status, _within), (requests, _microseconds) in traffic.of(app).recorder.take().counts.items():
        found[door, status] += requests
    assert found == {("api", 4): 2, ("portal", 2): 1, ("portal", 4): 1}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_counting_is_a_small_part_of_the_least_request_and_asks_no_database(app, client):
    """Against the floor of the same run: /healthz, which is not counted, and the same with counting."""

    def median(act, rounds):
        times = []
        for _ in range(rounds):
            began = time.process_time()
            act()
            times.append(time.process_time() - began)
        return statistics.median(times)

    def fifty():
        for _ in range(50):
            traffic.count(response)

    client.get("/healthz")
    floor = median(lambda: client.get("/healthz"), 100)
    with app.test_request_context("/api/v1/admin/refunds"):
        response = app.response_class()
        cost = median(fifty, 40) / 50
    assert cost < 0.0001
    assert cost < floor / 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_counted_while_the_database_was_away_is_written_when_it_is_back(settings, engine, database_url, tmp_path):
    away = tmp_path / "away" / "portal.db"
    app = create_app(config.load({**settings, "DATABASE_URL": f"sqlite:///{away}"}))
    writer, client = traffic.of(app), app.test_client()
    for _ in range(5):
        client.get("/login")
        assert not writer.write()
    assert writer.recorder.has_counts
    away.parent.mkdir()
    shutil.copy(database_url.removeprefix("sqlite:///"), away)
    assert writer.write() and writer.write()
    with Session(writer.engine) as session:
        assert queries.last_day(session, SYSTEM).requests == 5


def test_a_writer_begins_anew_after_a_fork_and_signs_off_at_its_end(database_url, engine):
    writer = Writer(database_url)
    writer.recorder.count("api", 200, 0.01)  # the parent's
    writer.begin()
    writer.recorder.count("api", 200, 0.01)
    wait_until(lambda: day(engine).requests == 1, "it is written")
    with Session(engine) as session:
        assert queries.web(session, SYSTEM).processes == 1
    writer.recorder.count("api", 500, 0.01)
    writer.end()
    assert (day(engine).requests, day(engine).errors) == (2, 1)
    with Session(engine) as session:
        assert queries.web(session, SYSTEM).processes == 0


@pytest.mark.processes
def test_no_request_is_lost_over_processes_and_restarts(database_url, engine, tmp_path):
    with Portal({"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data"), "LOG_LEVEL": "WARNING"}, workers=0) as portal:

        def ask(count):
            with httpx.Client(base_url=portal.url, headers={"Connection": "close"}) as client:
                for _ in range(count):
                    client.get("/login")

        ask(30)
        portal.web.stop()
        assert day(engine).requests == 30
        portal.start_web()
        ask(30)
        wait_until(lambda: day(engine).requests == 60, "they are written", seconds=30)
        with Session(engine) as session:
            assert queries.web(session, SYSTEM).processes == 2
