"""Who holds a job, and until when.

A claim is one conditional UPDATE, so two workers can never both win. The holder renews its lease while it lives; what it writes at
the end is fenced by the lease, so a worker that was given up for dead writes nothing. Leases are measured by the database's clock
on PostgreSQL, where several hosts work with clocks of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, DateTime, Update, and_, func, literal, or_, select, update
from sqlalchemy.orm import Session

from domain.db import UtcDateTime, now
from domain.jobs import events
from domain.jobs.models import Job, JobStatus
from domain.jobs.outcomes import Again, Done, Failed, Outcome

LEASE = timedelta(seconds=30)
HEARTBEAT_SECONDS = 8.0
RING_AGAIN_AFTER = timedelta(seconds=30)
SWEPT_AT_ONCE = 500


def database_now(session: Session) -> datetime:
    if on_postgresql(session):
        moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
        return moment
    return now()


def on_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def moment_in_statement(session: Session, later: timedelta = timedelta()) -> ColumnElement[datetime]:
    """The same within a statement, which saves asking first: when the statement began, so that an index can be searched by it."""
    if on_postgresql(session):
        began = func.statement_timestamp(type_=DateTime(timezone=True))
        return began + later if later else began
    return literal(now() + later, UtcDateTime())


def claim(session: Session, job_id: UUID, owner: str, lease: timedelta = LEASE) -> Job | None:
    """Take the job if it is due and nobody holds it; None if it is finished, held, not due or out of attempts."""
    return next(iter(claim_several(session, [job_id], owner, lease)), None)


def claim_several(session: Session, job_ids: Collection[UUID], owner: str, lease: timedelta = LEASE) -> Sequence[Job]:
    """Take those of the jobs that are due and that nobody holds: not the finished, the held, the ones for later."""
    return take(session, and_(Job.id.in_(job_ids), *due(session)), owner, lease)


def claim_due(session: Session, count: int, owner: str, *, never_lost: bool = False, lease: timedelta = LEASE) -> Sequence[Job]:
    """Take so many of the jobs that wait longest, or of those among them that no worker was ever lost over."""
    waiting = select(Job.id).where(*due(session))
    if never_lost:
        waiting = waiting.where(Job.losses == 0)
    locked = waiting.order_by(Job.run_after).limit(count).with_for_update(skip_locked=True).cte("locked")
    # Nobody else changes them now. To ask once more whether they are due would lead PostgreSQL to go through all that wait, for each.
    return take(session, Job.id.in_(select(locked.c.id)), owner, lease)


def due(session: Session) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Job.status == JobStatus.PENDING, Job.run_after <= moment_in_statement(session)


def take(session: Session, which: ColumnElement[bool], owner: str, lease: timedelta) -> Sequence[Job]:
    moment = moment_in_statement(session)
    won = session.scalars(
        update(Job)
        .where(which)
        .values(
            status=JobStatus.PROCESSING,
            attempts=Job.attempts + 1,
            started_at=func.coalesce(Job.started_at, moment),
            lease_owner=owner,
            lease_until=moment_in_statement(session, lease),
            updated_at=moment,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).all()
    events.note_several(session, [job.id for job in won], "claimed", owner)
    return sorted(won, key=lambda job: job.run_after)


def hand_back(session: Session, held_by: Mapping[UUID, str]) -> None:
    """Let go of jobs that were claimed and not begun, as if they had not been claimed."""
    free = {"status": JobStatus.PENDING, "attempts": Job.attempts - 1, "lease_owner": None, "lease_until": None, "dispatched_at": None}
    for held in each_owners(held_by):
        session.execute(held.values(**free, updated_at=moment_in_statement(session)))


def renew(session: Session, job_id: UUID, owner: str, lease: timedelta = LEASE) -> bool:
    """Hold on for another lease; False if the job is no longer the caller's."""
    return changed(session, held(job_id, owner).values(lease_until=moment_in_statement(session, lease)))


def finish(session: Session, job_id: UUID, owner: str, outcome: Outcome) -> bool:
    """Write what came of the work; False, and nothing written, if the job is no longer the caller's."""
    if not changed(session, held(job_id, owner).values(**values_of(session, outcome))):
        return False
    events.note(session, job_id, *line_of(outcome))
    if isinstance(outcome, Done) and outcome.then is not None:
        outcome.then(session)
    return True


def finish_alike(session: Session, held_by: Mapping[UUID, str], outcome: Outcome) -> set[UUID]:
    """Write one plain outcome, without a file or anything to follow, to several jobs; answers which of them were still their owners'."""
    values, written = values_of(session, outcome), set[UUID]()
    for held in each_owners(held_by):
        written.update(session.scalars(held.values(**values).returning(Job.id)))
    events.note_several(session, written, *line_of(outcome))
    return written


def values_of(session: Session, outcome: Outcome) -> dict[str, object]:
    """The columns that an outcome changes."""
    moment = moment_in_statement(session)
    values: dict[str, object] = {"lease_owner": None, "lease_until": None, "updated_at": moment}
    if isinstance(outcome, Again):
        return values | {
            "status": JobStatus.PENDING,
            "run_after": moment_in_statement(session, timedelta(seconds=outcome.after)),
            "dispatched_at": None,
            "stage": outcome.message[:100] or None,
        }
    if isinstance(outcome, Done):
        return values | {
            "status": JobStatus.SUCCEEDED,
            "progress_percent": 100,
            "result": outcome.result,
            **(outcome.file.columns() if outcome.file else {}),
            "error": None,
            "finished_at": moment,
            "stage": None,
        }
    return values | {
        "status": JobStatus.FAILED,
        "error": {"code": outcome.code, "message": outcome.message},
        "finished_at": moment,
        "stage": None,
    }


def line_of(outcome: Outcome) -> tuple[str, str | None]:
    if isinstance(outcome, Again):
        return "handed_back", outcome.message or None
    if isinstance(outcome, Done):
        return "succeeded", None
    return "failed", f"{outcome.code}: {outcome.message}"


def tell(session: Session, job_id: UUID, owner: str, percent: float, stage: str) -> bool:
    """Write how far the work is; False if the job is no longer the caller's."""
    values = {"progress_percent": min(max(int(percent), 0), 99), "stage": stage[:100], "updated_at": moment_in_statement(session)}
    return changed(session, held(job_id, owner).values(**values))


def keep(session: Session, job_id: UUID, owner: str, result: dict[str, object], percent: float, stage: str) -> bool:
    """Write what is there of the result so far; False if the job is no longer the caller's, who then must not commit."""
    values = {"result": result, "progress_percent": min(max(int(percent), 0), 99), "stage": stage[:100]}
    return changed(session, held(job_id, owner).values(**values, updated_at=moment_in_statement(session)))


def pass_point_of_no_return(session: Session, job_id: UUID, owner: str) -> bool:
    """From here on the job cannot be cancelled; False if it is no longer the caller's."""
    return changed(session, held(job_id, owner).values(irrevocable_at=moment_in_statement(session)))


def still_held(session: Session, owners: Mapping[UUID, str]) -> set[UUID]:
    """Which of these jobs are still their owners' to work on: not cancelled, not given to another."""
    if not owners:
        return set()
    rows = session.execute(select(Job.id, Job.lease_owner).where(Job.id.in_(owners), Job.status == JobStatus.PROCESSING))
    return {job_id for job_id, owner in rows if owners[job_id] == owner}


def acknowledge(session: Session, job_id: UUID, owner: str | None) -> None:
    """The worker has stopped a cancelled job and removed its files, or another has done so in its place."""
    stopped = update(Job).where(Job.id == job_id, Job.lease_owner == owner, Job.status == JobStatus.CANCELLED)
    session.execute(stopped.values(cancel_acknowledged_at=moment_in_statement(session), lease_owner=None, lease_until=None))


def list_abandoned(session: Session) -> Sequence[Job]:
    """Cancelled jobs whose worker died before it had removed its files."""
    return session.scalars(
        select(Job)
        .where(Job.status == JobStatus.CANCELLED, Job.cancel_acknowledged_at.is_(None), Job.lease_until < moment_in_statement(session))
        .limit(SWEPT_AT_ONCE)
    ).all()


def sweep(session: Session) -> list[UUID]:
    """Free what dead workers held, and answer the jobs the queue should be told of (again)."""
    moment = database_now(session)
    free_lost(session, moment)
    due = (
        select(Job.id)
        .where(
            Job.status == JobStatus.PENDING,
            Job.run_after <= moment,
            or_(Job.dispatched_at.is_(None), Job.dispatched_at < moment - RING_AGAIN_AFTER),
        )
        .order_by(Job.run_after)
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(due))
    if ids:
        session.execute(update(Job).where(Job.id.in_(ids)).values(dispatched_at=moment))
    return ids


def free_lost(session: Session, moment: datetime) -> None:
    """Take the jobs of dead workers from them. Of two sweeps at the same time the second passes over what the first has locked."""
    lost = select(Job.id, Job.losses, Job.max_attempts).where(Job.status == JobStatus.PROCESSING, Job.lease_until < moment)
    for job_id, losses, may_lose in session.execute(lost.limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)).all():
        events.note(session, job_id, "lost", "Its worker did not renew the lease.")
        values: dict[str, object] = {"losses": losses + 1, "lease_owner": None, "lease_until": None, "updated_at": moment}
        if losses + 1 < may_lose:
            values |= {"status": JobStatus.PENDING, "run_after": moment, "dispatched_at": None}
        else:
            end = Failed("WORKER_LOST", "The worker was lost each time it ran this job.")
            values |= {
                "status": JobStatus.FAILED,
                "finished_at": moment,
                "stage": None,
                "error": {"code": end.code, "message": end.message},
            }
            events.note(session, job_id, *line_of(end))
        session.execute(update(Job).where(Job.id == job_id).values(**values).execution_options(synchronize_session=False))


def nothing_to_sweep(session: Session) -> bool:
    """Whether a sweep would find nothing: a read, so that an idle worker takes no write lock."""
    moment = database_now(session)
    return (
        session.scalar(
            select(Job.id)
            .where(
                or_(
                    and_(Job.status == JobStatus.PROCESSING, Job.lease_until < moment),
                    and_(
                        Job.status == JobStatus.PENDING,
                        Job.run_after <= moment,
                        or_(Job.dispatched_at.is_(None), Job.dispatched_at < moment - RING_AGAIN_AFTER),
                    ),
                )
            )
            .limit(1)
        )
        is None
    )


def held(job_id: UUID, owner: str) -> Update:
    return update(Job).where(Job.id == job_id, Job.status == JobStatus.PROCESSING, Job.lease_owner == owner)


def each_owners(held_by: Mapping[UUID, str]) -> Iterator[Update]:
    """The jobs of one owner at a time: a condition for each job would cost PostgreSQL more to plan than the change itself."""
    for owner in set(held_by.values()):
        ids = [job_id for job_id, holder in held_by.items() if holder == owner]
        held = update(Job).where(Job.id.in_(ids), Job.status == JobStatus.PROCESSING, Job.lease_owner == owner)
        yield held.execution_options(synchronize_session=False)


def changed(session: Session, statement: Update) -> bool:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
