"""No-op jobs from the wish to the written end, against plain Huey with no-op tasks on the same backend in the same run.

Both are asked for by this process and done by one worker process of four threads. Ours have a row each, written with full durability,
twenty to a transaction and one to a transaction. Plain Huey keeps nothing of what it did, syncs nothing to disk, and loses what it works
on when it is killed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Lock

from sqlalchemy import func, select
from sqlalchemy.orm import sessionmaker

import config
import migrations
from domain.db import make_engine, read_only
from domain.jobs.commands import enqueue
from domain.jobs.models import Job, JobStatus
from domain.jobs.outcomes import Done
from tasks import outbox
from tasks.queue import Bell, make_queue
from tasks.worker import consume, work
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.tools import postgres_folder, program

JOBS = 1000
THREADS = 4
ROUNDS = 3
TARGET = 0.6
TOGETHER = 20
NOOP = "noop"
DURABLE = ("max_connections=100", "shared_buffers=64MB")


def main() -> None:
    run()
    if program("redis-server") and postgres_folder():
        with Redis() as redis, Postgres(settings=DURABLE) as postgres:
            run(redis.url, postgres.new_database())
    else:
        print("PostgreSQL and Redis are not installed here: `make tools` says what is missing")


def run(redis_url: str = "", database_url: str = "") -> None:
    with tempfile.TemporaryDirectory(prefix="bench-jobs-") as folder:
        environment = {
            "APP_ENV": "test",
            "DATA_DIR": folder,
            "LOG_LEVEL": "ERROR",
            "SECRET_KEY": "b" * 32,
            **({"REDIS_URL": redis_url} if redis_url else {}),
            **({"DATABASE_URL": database_url} if database_url else {}),
        }
        settings = config.load(environment)
        migrations.upgrade(settings.database_url)
        where = "Huey on Redis, rows in PostgreSQL" if redis_url else "Huey and rows on SQLite"
        print(f"\n{JOBS} no-op jobs, {THREADS} threads, {where}, best of {ROUNDS} rounds")
        floor, together, alone = 0.0, 0.0, 0.0
        for _ in range(ROUNDS):  # in turns, so that a moment in which the machine is busy is not one side's alone
            floor = max(floor, rate("plain", plain, environment, settings))
            together = max(together, rate("portal", partial(portal, together=TOGETHER), environment, settings))
            alone = max(alone, rate("portal", partial(portal, together=1), environment, settings))
        print(f"{'floor: plain Huey':38} {1:>6} x floor {floor:7.0f} tasks/s")
        print(f"{f'jobs, {TOGETHER} to a transaction':38} {together / floor:6.2f} x floor {together:7.0f} jobs/s (at least {TARGET})")
        print(f"{'jobs, 1 to a transaction':38} {alone / floor:6.2f} x floor {alone:7.0f} jobs/s")


def rate(kind: str, measure: Callable[[config.Config], float], environment: dict[str, str], settings: config.Config) -> float:
    make_queue(settings).flush()  # of rings for what is done already
    with worker(kind, environment):
        return JOBS / measure(settings)


@contextmanager
def worker(kind: str, environment: dict[str, str]) -> Iterator[None]:
    """A worker process of this kind; begins when it is ready."""
    ready = Path(environment["DATA_DIR"]) / "ready"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-c", f"from bench.jobs import serve; serve({kind!r})"]  # tasks are known by their module's name
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=Path(__file__).parent.parent)
    try:
        wait_for(ready.exists)
        yield
    finally:
        process.terminate()
        process.wait(30)


def plain(settings: config.Config) -> float:
    queue = make_queue(settings)
    noop = queue.task(name=NOOP)(lambda number: None)
    done = settings.data_dir / "done"
    done.unlink(missing_ok=True)
    begun = time.perf_counter()
    for number in range(JOBS):
        noop(number)
    wait_for(done.exists)
    return time.perf_counter() - begun


def portal(settings: config.Config, together: int) -> float:
    engine = make_engine(settings.database_url)
    sessions = sessionmaker(engine, expire_on_commit=False)
    outbox.connect(sessions, Bell(settings).ring)
    unfinished = select(func.count()).select_from(Job).where(Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING)))

    def all_done() -> bool:
        with read_only(), sessions() as session:
            return session.scalar(unfinished) == 0

    begun = time.perf_counter()
    for _ in range(JOBS // together):
        with sessions.begin() as session:
            for _ in range(together):
                enqueue(session, NOOP)
    wait_for(all_done)
    spent = time.perf_counter() - begun
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job).where(Job.status != JobStatus.SUCCEEDED)) == 0
    engine.dispose()
    return spent


def wait_for(check: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit("the worker did not come to an end")
        time.sleep(0.02)


def serve(kind: str) -> None:
    """What the worker process runs."""
    settings = config.load()
    (settings.data_dir / "ready").touch()
    if kind == "portal":
        work(settings, THREADS, {NOOP: lambda _work: Done()})
    else:
        serve_plain(settings)


def serve_plain(settings: config.Config) -> None:
    queue, lock, done = make_queue(settings), Lock(), 0

    @queue.task(name=NOOP)
    def noop(number: int) -> None:
        nonlocal done
        with lock:
            done += 1
            if done == JOBS:
                (settings.data_dir / "done").touch()

    consume(queue, THREADS, Event())
