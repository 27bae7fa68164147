"""Jobs of every kind that people cause, and what is to be seen of them afterwards."""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Thread
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Engine, func, literal, select
from sqlalchemy.orm import Session, sessionmaker

import config
from domain.access import Actor
from domain.db import now, read_only
from domain.identity.models import Admin
from domain.jobs import commands as jobs
from domain.jobs.models import Job, JobEvent, JobStatus, WorkerHeartbeat
from domain.refunds import bulk, commands
from domain.refunds.policy import RefundPolicy
from tasks import outbox
from tasks.queue import Bell
from tests.factories import actor_of
from tests.proofs.desk import Desk

FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
ENDINGS = tuple(str(status) for status in FINAL)
OF_THE_CLOCK = ("cleanup", "refund_reconcile")
"""Types that workers ask for by themselves, at any time: there may always be one on its way."""
BATCH = 10
REPORTS = (("bookings", "csv"), ("refunds", "xlsx"), ("payments", "csv"))


class Clerk:
    """Asks for jobs as the portal's processes do: each in a transaction of its own, the queue told after it."""

    def __init__(self, desk: Desk):
        self.desk, self.engine, self.made = desk, desk.engine, 0
        self.sessions = sessionmaker(desk.engine, expire_on_commit=False)
        self.bell = Bell(config.load(desk.portal.environment))
        self.dice = random.Random(23)
        outbox.connect(self.sessions, self.bell.ring)
        with self.sessions() as session:
            self.admins = [actor_of(admin) for admin in session.scalars(select(Admin).order_by(Admin.created_at))]

    def ask_for_ten(self) -> None:
        """Three exports, a bulk decision on four refunds, three payouts with their messages."""
        number = self.made // BATCH
        refunds = self.desk.make_refunds(7)
        wishes: list[Any] = [(self.export, report, format) for report, format in REPORTS]
        wishes += [(self.pay, refund) for refund in refunds[:3]]
        wishes += [(self.decide, "approve" if number % 2 else "reject", refunds[3:])]
        self.dice.shuffle(wishes)
        for wish in wishes:
            self.ask_for(*wish)
        self.made += BATCH

    def ask_for(self, wish: Callable[..., Job], *about: Any) -> UUID:
        with self.sessions.begin() as session:
            job = wish(session, self.dice.choice(self.admins), *about)
        return job.id

    def export(self, session: Session, admin: Actor, report: str, format: str) -> Job:
        wish = {"report_type": report, "format": format, "from": None, "to": None}
        return jobs.start(session, admin, "analytics_export", wish)

    def decide(self, session: Session, admin: Actor, action: str, refund_ids: list[UUID]) -> Job:
        told = action == "reject"  # a customer is told of an approval ten seconds later
        wish = {"action": action, "refund_ids": refund_ids, "reason": "Nobody came", "notify_user": told, "notify_vendor": False}
        return bulk.start(session, admin, **wish)

    def pay(self, session: Session, admin: Actor, refund_id: UUID) -> Job:
        """Two jobs: the payout, and a message to the vendor."""
        policy = RefundPolicy({"INR": 8_500_000})
        decision = commands.approve(session, admin, policy, refund_id, reason="Nobody came", notify_user=False)
        assert decision.job is not None
        session.flush()
        return decision.job

    def close(self) -> None:
        self.bell.queue.storage.close()


class Watch(Thread):
    """Looks at every job all the time: one that has ended must stay as it is."""

    def __init__(self, engine: Engine):
        super().__init__(daemon=True)
        self.engine, self.enough = engine, Event()
        self.ended: dict[UUID, tuple[Any, ...]] = {}
        self.changed: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.enough.set()
        self.join(60)

    def run(self) -> None:
        while not self.enough.wait(0.2):
            self.look()

    def look(self) -> None:
        with reading(self.engine) as session:
            found = session.execute(select(Job.id, Job.type, Job.status, Job.finished_at, Job.result, Job.error, Job.attempts))
            rows = {row.id: tuple(row) for row in found}
        for job_id, before in self.ended.items():
            if rows.get(job_id) != before:
                self.changed.append(f"{before} became {rows.get(job_id)}")
        self.ended |= {job_id: row for job_id, row in rows.items() if row[2] in FINAL}


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    with read_only(), Session(engine) as session:
        yield session


def unfinished(engine: Engine) -> int:
    with reading(engine) as session:
        live = Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING)) & Job.type.not_in(OF_THE_CLOCK)
        return session.scalar(select(func.count()).select_from(Job).where(live)) or 0


def ended(engine: Engine) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(FINAL))) or 0


def waiting(engine: Engine) -> int:
    with reading(engine) as session:
        due = (Job.status == JobStatus.PENDING) & (Job.run_after <= now())
        return session.scalar(select(func.count()).select_from(Job).where(due)) or 0


def stuck(engine: Engine) -> list[str]:
    with reading(engine) as session:
        live = select(Job).where(Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING)))
        return [
            f"{job.type} {job.status} {job.stage} {job.lease_owner} {job.lease_until} {job.dispatched_at}" for job in session.scalars(live)
        ]


def status_of(engine: Engine, job_id: UUID) -> str:
    with reading(engine) as session:
        return session.get_one(Job, job_id).status


def held_by(engine: Engine, pid: int, ids: Collection[UUID] | None = None) -> int:
    """How many jobs the process holds, of these."""
    with reading(engine) as session:
        mine = (
            (literal(True) if ids is None else Job.id.in_(ids)) & (Job.status == JobStatus.PROCESSING) & Job.lease_owner.like(f"%:{pid}:%")
        )
        return session.scalar(select(func.count()).select_from(Job).where(mine)) or 0


def is_ready(engine: Engine, pid: int) -> bool:
    """Whether the worker process has said that it lives."""
    with reading(engine) as session:
        return session.scalar(select(WorkerHeartbeat.id).where(WorkerHeartbeat.pid == pid)) is not None


def is_idle(engine: Engine, pid: int, since: datetime) -> bool:
    """Whether the worker process has said since then that it works on nothing."""
    with reading(engine) as session:
        said = (WorkerHeartbeat.pid == pid) & (WorkerHeartbeat.last_seen_at > since) & (WorkerHeartbeat.jobs_running == 0)
        return session.scalar(select(WorkerHeartbeat.id).where(said)) is not None


def run_twice(engine: Engine, ids: Collection[UUID]) -> int:
    """How many of these jobs are being worked on by a second worker, after the first was lost."""
    with reading(engine) as session:
        twice = Job.id.in_(ids) & (Job.status == JobStatus.PROCESSING) & (Job.losses > 0)
        return session.scalar(select(func.count()).select_from(Job).where(twice)) or 0


def unexpected_errors(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(JobEvent.message).where(JobEvent.message.like("%unexpected error%"))))


def endings(engine: Engine) -> dict[UUID, list[str]]:
    """For each job that has ended, the names of its events from its first ending on."""
    with reading(engine) as session:
        ended = session.scalars(select(Job.id).where(Job.status.in_(FINAL)))
        lines: dict[UUID, list[str]] = {job_id: [] for job_id in ended}
        for job_id, event in session.execute(select(JobEvent.job_id, JobEvent.event).order_by(JobEvent.at)):
            if job_id in lines and (lines[job_id] or event in ENDINGS):
                lines[job_id].append(event)
    return lines


def by_type(engine: Engine) -> Counter[tuple[str, str]]:
    with reading(engine) as session:
        return Counter((row.type, row.status) for row in session.execute(select(Job.type, Job.status)))
