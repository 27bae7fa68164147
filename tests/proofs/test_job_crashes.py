"""kill -9 to workers with work in their hands, a queue that forgets, a queue that is away: each job ends once, and does its work once."""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.jobs.commands import enqueue
from domain.jobs.leases import RING_AGAIN_AFTER
from domain.jobs.models import Job
from domain.jobs.retention import STRAY_AFTER
from domain.refunds.models import Refund
from tests.factories import make_booking
from tests.many import multiply, numbered
from tests.proofs.clerk import (
    Clerk,
    Watch,
    by_type,
    ended,
    endings,
    held_by,
    is_idle,
    is_ready,
    reading,
    run_twice,
    status_of,
    stuck,
    unexpected_errors,
    unfinished,
    waiting,
)
from tests.servers.smtp import Smtp
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS, KILLS = 200, 20
STUCK_AFTER = 60


class SlowSmtp(Smtp):
    """Has the message for a moment before it says so: whoever is killed in between does not know that it is sent."""

    async def handle_DATA(self, server, session, envelope):
        answer = await super().handle_DATA(server, session, envelope)
        await asyncio.sleep(0.2)
        return answer


@pytest.fixture
def smtp():
    with SlowSmtp() as server:
        yield server


@pytest.fixture
def more_settings(smtp):
    return {"SMTP_URL": smtp.url, "GATEWAY_TIMEOUT_SECONDS": "8"}


@pytest.fixture
def clerk(desk, gateway):
    gateway.fault("slow", seconds=0.2, once=False)
    more_bookings(desk.engine, "BK-2023-", 2000)
    clerk = Clerk(desk)
    yield clerk
    clerk.close()


def more_bookings(engine, prefix, count):
    with Session(engine) as session:
        multiply(session, make_booking(session), count, booking_number=numbered(prefix))
        session.commit()


def test_workers_that_are_killed_leave_each_job_done_once(desk, gateway, smtp, clerk):
    engine, portal, dice = desk.engine, desk.portal, random.Random(5)
    portal.start_worker()
    kills = hits = 0
    with Watch(engine) as watch:
        while clerk.made < JOBS or kills < KILLS:
            victim = portal.workers[0]
            wait_until(lambda victim=victim: is_ready(engine, victim.pid), "the worker is ready", seconds=60)
            clerk.ask_for_ten()
            while not held_by(engine, victim.pid) and waiting(engine):
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.4))
            portal.workers.pop(0).kill_group()
            last_kill = time.monotonic()
            held = held_by(engine, victim.pid)
            kills, hits = kills + bool(held), hits + held
            portal.start_worker()
        ended_within(engine, STUCK_AFTER)
        print(f"{clerk.made} jobs asked for; {kills} workers killed with {hits} jobs in their hands")
        print(f"the last job ended {time.monotonic() - last_kill:.0f} s after the last kill: {dict(by_type(engine))}")
        watch.look()
    assert watch.changed == []
    each_ended_once(engine)
    each_refund_was_decided_and_paid_once(engine, gateway)
    each_export_left_its_file(engine, clerk)
    each_message_was_sent(engine, smtp)


def test_a_queue_that_is_emptied_loses_no_job(desk, gateway, smtp, clerk, harms):
    engine, portal = desk.engine, desk.portal
    exports_over_the_api(desk, 6)  # so that the web's processes have the queue open
    with Watch(engine) as watch:
        for number, harm in enumerate(harms, 1):
            before = ended(engine)
            while clerk.made < number * JOBS / len(harms):
                clerk.ask_for_ten()
            wait_until(lambda before=before: ended(engine) >= before + 5, "the worker is at work on them", seconds=STUCK_AFTER)
            lost = clerk.bell.queue.storage.queue_size()
            assert lost, "the queue had nothing to lose"
            harm()
            portal.workers.pop().stop()  # the next one finds what is left of the queue, the web's processes have it open
            portal.start_worker()
            print(f"{harm.__name__}: {lost} rings lost, {unfinished(engine)} jobs unfinished")
        last_harm = time.monotonic()
        ended_within(engine, STUCK_AFTER)
        print(f"{clerk.made} jobs; the last ended {time.monotonic() - last_harm:.0f} s after the last harm: {dict(by_type(engine))}")
        watch.look()
    assert watch.changed == []
    each_ended_once(engine)
    each_refund_was_decided_and_paid_once(engine, gateway)
    each_export_left_its_file(engine, clerk)
    each_message_was_sent(engine, smtp)
    heard_at_once(engine, exports_over_the_api(desk, 6))


@pytest.fixture
def harms(desk, request):
    """What befalls the queue, one after the other, while everybody has it open."""
    if "REDIS_URL" in desk.portal.environment:
        return [request.getfixturevalue("redis").flush] * 4
    file = desk.portal.data_dir / "queue.db"

    def rows_deleted():
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            connection.execute("DELETE FROM task")

    def files_removed():
        for path in file.parent.glob("queue.db*"):
            path.unlink()

    def file_emptied():
        file.write_bytes(b"")

    def file_overwritten():
        file.write_bytes(b"no database at all" * 1000)

    return [rows_deleted, files_removed, file_emptied, file_overwritten]


def exports_over_the_api(desk, count):
    answers = [desk.start_job(number % 3, type="analytics_export", report_type="bookings") for number in range(count)]
    assert [answer.status_code for answer in answers] == [200] * count, answers[0].text
    return [UUID(answer.json()["data"]["job_id"]) for answer in answers]


def heard_at_once(engine, job_ids):
    """The worker has them from the queue: the sweep would have brought them half a minute later."""
    wait_until(lambda: all(status_of(engine, job_id) == "succeeded" for job_id in job_ids), "the jobs are done", seconds=STUCK_AFTER)
    with reading(engine) as session:
        for job in session.scalars(select(Job).where(Job.id.in_(job_ids))):
            assert job.started_at - job.created_at < RING_AGAIN_AFTER


def test_a_job_is_taken_while_the_queue_is_away_and_run_when_it_is_back(desk, clerk, absences):
    engine = desk.engine
    heard_at_once(engine, exports_over_the_api(desk, 4))
    for absence in absences:
        with absence():
            began = time.monotonic()
            exports = exports_over_the_api(desk, 6)
            refund = desk.make_refunds(1)[0]
            answer = desk.approve(refund)
            print(f"{absence.__name__}: 7 requests took {time.monotonic() - began:.1f} s")
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"]["refund_processed"] is True
            assert "pending" in {status_of(engine, job_id) for job_id in exports}
        back = time.monotonic()
        wait_until(lambda ids=exports: all(status_of(engine, id) == "succeeded" for id in ids), "the jobs are done", STUCK_AFTER)
        ended_within(engine, STUCK_AFTER)
        print(f"all done {time.monotonic() - back:.0f} s after it was back")
    heard_at_once(engine, exports_over_the_api(desk, 4))


@pytest.fixture
def absences(desk, request):
    """Ways in which the queue can be away, each for as long as its block lasts."""
    if "REDIS_URL" in desk.portal.environment:
        return redis_absences(request.getfixturevalue("redis"))
    return file_absences(desk.portal.data_dir / "queue.db")


def redis_absences(redis):
    @contextmanager
    def redis_stopped():
        redis.stop()
        try:
            yield
        finally:
            redis.start()

    @contextmanager
    def redis_hung():
        redis.process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            redis.process.send(signal.SIGCONT)

    return [redis_stopped, redis_hung]


def file_absences(file):
    @contextmanager
    def file_locked():
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield

    @contextmanager
    def folder_in_its_place():
        for path in file.parent.glob("queue.db*"):
            path.unlink()
        file.mkdir()
        yield
        file.rmdir()

    return [file_locked, folder_in_its_place]


def test_a_worker_that_slept_through_its_leases_does_no_harm(desk, gateway, smtp, clerk):
    """It wakes while another is at work on the same jobs: the one that holds them finishes, whatever the other brings."""
    engine, portal = desk.engine, desk.portal
    more_bookings(engine, "BK-2022-", 30_000)
    gateway.no_faults()
    gateway.fault("slow", seconds=3, once=False)
    sleeper = portal.workers[0]
    with Watch(engine) as watch:
        long = [clerk.ask_for(clerk.export, "bookings", format) for format in ("csv", "xlsx")]
        clerk.ask_for_ten()
        put_to_sleep(sleeper, long, portal.data_dir / "queue.db", engine)
        asleep, had = time.monotonic(), held_by(engine, sleeper.pid)
        portal.start_worker()
        wait_until(lambda: run_twice(engine, long), "another worker takes its jobs over", seconds=STUCK_AFTER)
        print(f"{had} jobs were taken over {time.monotonic() - asleep:.0f} s after their worker fell asleep")
        awake = now()
        sleeper.send(signal.SIGCONT)
        ended_within(engine, STUCK_AFTER)
        wait_until(lambda: is_idle(engine, sleeper.pid, since=awake), "the sleeper has come to rest", seconds=60)
        watch.look()
    assert watch.changed == []
    assert unexpected_errors(engine) == []
    each_ended_once(engine)
    each_refund_was_decided_and_paid_once(engine, gateway)
    each_export_left_its_file(engine, clerk)
    each_message_was_sent(engine, smtp)


def put_to_sleep(process, jobs, queue, engine):
    """Stop it over one of these jobs, at a moment when it holds no lock that the others need: as a paused machine is."""
    while True:
        wait_until(lambda: held_by(engine, process.pid, jobs), "the worker is at work on one", seconds=60)
        process.send(signal.SIGSTOP)
        if is_free(queue) and is_free_database(engine) and held_by(engine, process.pid, jobs):
            return
        process.send(signal.SIGCONT)
        time.sleep(0.01)


def is_free(file):
    if not file.exists():
        return True
    with closing(sqlite3.connect(file, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def is_free_database(engine):
    if engine.dialect.name == "sqlite":
        return is_free(Path(engine.url.database))
    with engine.connect() as connection:
        busy = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")
        time.sleep(0.2)
        return connection.scalar(busy) == 0


def ended_within(engine, seconds):
    try:
        wait_until(lambda: not unfinished(engine), "every job has ended", seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: " + "\n".join(stuck(engine))) from None


def each_ended_once(engine):
    """One final event each, and nothing after it. A job may only fail for having lost as many workers as its type allows."""
    lines = endings(engine)
    assert {job_id: events for job_id, events in lines.items() if len(events) != 1} == {}
    with reading(engine) as session:
        for job in session.scalars(select(Job).where(Job.id.in_(lines))):
            assert lines[job.id] == [job.status], (job.type, job.status)
            if job.status != "succeeded":
                assert (job.error["code"], job.losses) == ("WORKER_LOST", job.max_attempts), (job.type, job.error)


def each_refund_was_decided_and_paid_once(engine, gateway):
    """But for those that a bulk left alone because nobody knew what came of the one before: a worker may die just before it sends that."""
    with reading(engine) as session:
        results = session.scalars(select(Job.result).where(Job.type == "bulk_operation")).all()
        states = {str(id): status for id, status in session.execute(select(Refund.id, Refund.status))}
        decisions = session.execute(select(AuditEntry.object_id, AuditEntry.action).where(AuditEntry.action.in_(DECISIONS))).all()
    verdicts = [verdict for result in results for verdict in result["verdicts"]]
    left_alone = {verdict["refund_id"] for verdict in verdicts if verdict["verdict"] == "not_tried"}
    stopped = sum(1 for result in results if any(verdict["verdict"] == "unknown" for verdict in result["verdicts"]))
    assert len(left_alone) <= 3 * stopped
    assert Counter(object_id for object_id, _ in decisions) == dict.fromkeys(states.keys() - left_alone, 1)
    approved = [refund_id for refund_id, action in decisions if action == "refund.approved"]
    assert {states[refund_id] for refund_id in approved} == {"processed"}
    assert Counter(refund.marks["refund_request_id"] for refund in gateway.ledger() if refund.moved) == dict.fromkeys(approved, 1)


DECISIONS = ("refund.approved", "refund.rejected")


def each_export_left_its_file(engine, clerk):
    """Whole, and no file beside them: what a kill left in the middle of a save is removed by the clean-up, a day later."""
    folder = clerk.desk.portal.data_dir / "storage"
    with reading(engine) as session:
        exports = list(session.scalars(select(Job).where(Job.type == "analytics_export")))
    expected = {job.result_file: job.result["bytes"] for job in exports if job.status == "succeeded"}
    yesterday = time.time() - STRAY_AFTER.total_seconds() - 60
    for name in files_in(folder).keys() - expected.keys():
        os.utime(folder / name, (yesterday, yesterday))
        print(f"left behind: {name}")
    cleaned = clerk.ask_for(lambda session, _admin: enqueue(session, "cleanup"))
    wait_until(lambda: status_of(engine, cleaned) == "succeeded", "the clean-up has run", seconds=60)
    assert files_in(folder) == expected
    left = {path.name for path in (folder.parent / "work").iterdir()}
    assert left <= {str(job.id) for job in exports if job.status != "succeeded"}


def files_in(folder):
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def each_message_was_sent(engine, smtp):
    """At least once, and again only where its worker was lost in between."""
    sent = Counter(message["Message-ID"] for message in smtp.messages)
    with reading(engine) as session:
        jobs = list(session.scalars(select(Job).where(Job.type == "notification", Job.status == "succeeded")))
    for job in jobs:
        assert job.result["sent"], job.result
        assert 1 <= sent[job.result["message_id"]] <= job.attempts
    print(f"{len(jobs)} messages, {sum(sent.values()) - len(sent)} sent twice")
    assert sent.keys() == {job.result["message_id"] for job in jobs}
