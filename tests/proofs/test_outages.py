"""PostgreSQL and Redis stopped, killed and frozen under load: health tells it, no request hangs, and all is well soon after."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy.orm import Session

import migrations
from domain.db import make_engine
from domain.identity.passwords import Passwords
from tests.factories import make_admin, make_refund
from tests.proofs.desk import PASSWORD
from tests.servers.portal import Portal
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.waiting import wait_until
from web.auth import CHEAP

pytestmark = [pytest.mark.slow, pytest.mark.postgresql, pytest.mark.redis, pytest.mark.timeout(600)]

CALLERS = 24  # more than there are threads
HEALTH_WITHIN, ANSWERED_WITHIN, WELL_WITHIN = 3.0, 8.0, 10.0
FOUND_OUT_WITHIN = 5.0  # until then the threads are all held by those who asked before
ABSENCE = 12.0
HEALTH, LIST = "/api/v1/admin/system/health", "/api/v1/admin/refunds"


@dataclass
class Answer:
    at: float
    took: float
    status: int
    told: str = ""


class Load:
    """Callers that ask for a list again and again, and one who asks after the health."""

    def __init__(self, url: str, token: str):
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"}
        self.lists: list[Answer] = []
        self.healths: list[Answer] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(LIST, self.lists, 0.3)) for _ in range(CALLERS)]
        self.threads.append(threading.Thread(target=self.call, args=(HEALTH, self.healths, 0.2)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def call(self, path, answers, pause):
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=60) as client:
            while not self.stop.wait(pause):
                began = time.monotonic()
                try:
                    answer = client.get(path)
                    told = answer.json()["data"]["status"] if path == HEALTH else ""
                    answers.append(Answer(began, time.monotonic() - began, answer.status_code, told))
                except httpx.TransportError:
                    answers.append(Answer(began, time.monotonic() - began, 0))


@pytest.fixture(scope="module")
def servers():
    with Postgres(tcp=True) as postgres, Redis() as redis:
        url = postgres.new_database()
        migrations.upgrade(url)
        engine = make_engine(url)
        with Session(engine) as session:
            email = make_admin(session, role="super_admin", password_hash=Passwords(**CHEAP).hash(PASSWORD)).email
            for _ in range(30):
                make_refund(session)
            session.commit()
        engine.dispose()
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url, "RATE_LIMIT": "1000000 per minute", "LOG_LEVEL": "WARNING"}
        with Portal(settings) as portal:
            answer = httpx.post(f"{portal.url}/api/v1/admin/auth/login", json={"email": email, "password": PASSWORD}, timeout=30)
            yield portal, postgres, redis, answer.json()["data"]["access_token"]
            print("\n".join(line for line in portal.output().splitlines() if " warning " not in line)[-20_000:])  # shown with a failed test


def family(process):
    return [process.pid, *process.children()]


@contextmanager
def stopped(server):
    server.stop(signal.SIGINT if isinstance(server, Postgres) else signal.SIGKILL)
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen(server):
    pids = family(server.process)
    for pid in pids:
        signal_to(pid, signal.SIGSTOP)
    for pid in set(family(server.process)) - set(pids):  # born meanwhile
        signal_to(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family(server.process):
            signal_to(pid, signal.SIGCONT)


def signal_to(pid, number):
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.parametrize(
    ("which", "absence", "told"),
    [("postgres", stopped, "unhealthy"), ("postgres", frozen, "unhealthy"), ("redis", stopped, "degraded"), ("redis", frozen, "degraded")],
    ids=["postgresql stopped", "postgresql frozen", "redis stopped", "redis frozen"],
)
def test_an_outage_under_load(servers, which, absence, told):
    portal, postgres, redis, token = servers
    server = {"postgres": postgres, "redis": redis}[which]
    with Load(portal.url, token) as load:
        wait_until(lambda: load.healths and load.healths[-1].told == "healthy", "all is well", seconds=30)
        with absence(server):
            away_at = time.monotonic()
            wait_until(lambda: load.healths[-1].told == told, f"health says {told}", seconds=15)
            time.sleep(ABSENCE)
        back_at = time.monotonic()
        wait_until(lambda: load.healths[-1].told == "healthy", "health says that all is well", seconds=WELL_WITHIN)
        well_at = time.monotonic()
        time.sleep(max(back_at + WELL_WITHIN - well_at, 0) + 2)
    report(load, away_at, back_at, well_at)
    assert max(answer.took for answer in load.healths if not away_at - 3 < answer.at < away_at + FOUND_OUT_WITHIN) < HEALTH_WITHIN
    assert max(answer.took for answer in load.healths) < ANSWERED_WITHIN
    assert max(answer.took for answer in load.lists) < ANSWERED_WITHIN
    assert {answer.status for answer in load.lists} <= {200, 503}
    assert {answer.status for answer in load.lists if answer.at > back_at + WELL_WITHIN} == {200}
    if which == "redis":
        assert {answer.status for answer in load.lists} == {200}
    assert {answer.told for answer in load.healths if away_at + FOUND_OUT_WITHIN < answer.at < back_at - 3} == {told}


def report(load, away_at, back_at, well_at):
    during = Counter(answer.status for answer in load.lists if away_at < answer.at < back_at)
    slowest, health = (max(answer.took for answer in answers) for answers in (load.lists, load.healths))
    last = max((answer.at - back_at for answer in load.lists if answer.at > back_at and answer.status != 200), default=0)
    print(f"{len(load.lists)} requests, while it was away {dict(during)}; the slowest took {slowest:.1f} s, of health {health:.1f} s")
    print(f"health was well again after {well_at - back_at:.1f} s, the last request failed {last:.1f} s after it was back")
