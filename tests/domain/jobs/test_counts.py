"""The counts say what the rows say, whatever happens to the rows and whoever folds."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain.access import Permission
from domain.db import now, read_only
from domain.jobs import counts, leases
from domain.jobs.commands import enqueue
from domain.jobs.models import Job, JobCountChange, JobStatus
from domain.jobs.outcomes import Again, Done, Failed
from domain.jobs.queries import JobFilters, pulse, summarise_jobs
from tests.factories import make_actor, make_admin, make_job

TYPES = ("notification", "analytics_export", "cleanup")


@pytest.fixture
def creators(session):
    made = [None, *(make_admin(session).id for _ in range(2))]
    session.commit()
    return made


def rows(session: Session, *conditions) -> dict[str, int]:
    counted = select(Job.status, func.count()).where(Job.deleted_at.is_(None), *conditions).group_by(Job.status)
    return dict(session.execute(counted).all())


def said(session: Session, **filters) -> dict[str, int]:
    return {status: count for status, count in counts.by_status(session, **filters).items() if count}


def happen(session: Session, dice: random.Random, creators) -> None:
    """One thing that happens to jobs, in a transaction that now and then rolls back."""
    act = dice.choice(["new", "new", "claim", "claim", "finish", "finish", "cancel", "delete", "purge", "sweep"])
    some = session.scalars(select(Job.id).order_by(Job.id).offset(dice.randrange(30)).limit(1)).first()
    if act == "new" or some is None:
        enqueue(session, dice.choice(TYPES), creator_id=dice.choice(creators), max_attempts=2)
        session.flush()
    elif act == "claim":
        leases.claim(session, some, "a", leases.LEASE * dice.choice((1, -1)))
    elif act == "finish":
        leases.finish(session, some, "a", dice.choice((Done(), Failed("X", "y"), Again(0))))
    elif act == "sweep":
        leases.sweep(session)
    elif act == "cancel":
        live = Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
        session.execute(update(Job).where(Job.id == some, live).values(status=JobStatus.CANCELLED, cancelled_at=now()))
    elif act == "delete":
        session.execute(update(Job).where(Job.id == some, Job.finished_at.is_not(None)).values(deleted_at=now()))
    else:
        session.execute(delete(Job).where(Job.id == some))
    session.rollback() if dice.random() < 0.2 else session.commit()


def agree(session: Session, creators) -> None:
    assert said(session) == rows(session)
    for type in TYPES:
        assert said(session, types=[type]) == rows(session, Job.type == type)
    for creator in creators[1:]:
        assert said(session, creators=[creator]) == rows(session, Job.creator_id == creator)
    session.commit()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_they_equal_the_rows_after_anything(session, creators, seed):
    dice = random.Random(seed)
    for number in range(250):
        happen(session, dice, creators)
        if dice.random() < 0.05:
            counts.fold(session)
            session.commit()
        if number % 25 == 0:
            agree(session, creators)
    agree(session, creators)


def test_folding_makes_few_lines_of_many_and_changes_no_sum(session, creators):
    dice = random.Random(4)
    for _ in range(150):
        happen(session, dice, creators)
    before = said(session)

    counts.fold(session)
    session.commit()

    assert said(session) == before
    lines = session.scalar(select(func.count()).select_from(JobCountChange))
    assert 0 < lines <= len(TYPES) * len(creators) * len(JobStatus)
    assert not counts.worth_folding(session)


def test_nobody_sees_a_folding_halfway(engine, session, creators):
    """Writers, two folders and a reader at once: the jobs of one type only ever come, so their number never falls."""
    enough, seen, errors = Event(), [], []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        with Session(engine) as own:
            for _ in range(60):
                enqueue(own, "notification", creator_id=dice.choice(creators))
                own.commit()

    def fold() -> None:
        while not enough.wait(0.005):
            with Session(engine) as own:
                try:
                    counts.fold(own)
                    own.commit()
                except OperationalError as error:
                    errors.append(error)

    def read() -> None:
        while not enough.is_set():
            with read_only(), Session(engine) as own:
                seen.append(sum(counts.by_status(own, types=["notification"]).values()))

    with ThreadPoolExecutor(6) as pool:
        background = [pool.submit(fold), pool.submit(fold), pool.submit(read)]
        for writing in [pool.submit(write, seed) for seed in range(3)]:
            writing.result(60)
        enough.set()
        for each in background:
            each.result(60)

    assert errors == []
    assert seen == sorted(seen)
    assert said(session) == rows(session) == {"pending": 180}


def test_a_summary_counts_what_the_caller_may_see(session, creators):
    own, other = make_actor(session, Permission.JOBS_LIST), make_actor(session, Permission.JOBS_LIST, Permission.JOBS_LIST_ALL)
    for creator_id in (own.admin_id, other.admin_id, None):
        enqueue(session, "notification", creator_id=creator_id)
    session.flush()

    def pending(actor, **filters) -> int:
        return summarise_jobs(session, actor, JobFilters(**filters))["pending"]

    assert (pending(own), pending(other)) == (1, 3)
    assert (pending(own, creator_id=other.admin_id), pending(own, creator_id=own.admin_id)) == (0, 1)
    assert pending(other, creator_id=own.admin_id) == 1
    assert pending(other, q="notification") == 3
    assert pending(own, from_=datetime(2020, 1, 1, tzinfo=UTC)) == 1
    assert pending(other, type=("cleanup",)) == 0


def test_the_figures_of_now_are_of_what_is_due_and_may_be_seen(session):
    own, other = make_actor(session, Permission.JOBS_LIST), make_actor(session, Permission.JOBS_LIST, Permission.JOBS_LIST_ALL)
    for age, creator_id in ((60, None), (30, own.admin_id), (-60, own.admin_id), (-60, None)):
        make_job(session, creator_id=creator_id, run_after=now() - timedelta(seconds=age))
    for creator_id in (own.admin_id, None):
        make_job(session, status=JobStatus.PROCESSING, creator_id=creator_id)

    def figures(actor) -> tuple[int, int, int | None]:
        found = pulse(session, actor)
        return found.waiting, found.running, found.oldest_wait_seconds

    assert figures(own) == (1, 1, pytest.approx(30, abs=5))
    assert figures(other) == (2, 2, pytest.approx(60, abs=5))
    assert figures(make_actor(session, Permission.JOBS_LIST)) == (0, 0, None)
