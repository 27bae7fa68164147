"""Who holds a job, and until when.

A claim is one conditional UPDATE, so two workers can never both win. The holder renews its lease while it lives; what it writes at
the end is fenced by the lease, so a worker that was given up for dead writes nothing. Leases are measured by the database's clock
on PostgreSQL, where several hosts work with clocks of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, Update, and_, func, or_, select, update
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs import events
from domain.jobs.models import Job, JobStatus
from domain.jobs.outcomes import Again, Done, Failed, Outcome

LEASE = timedelta(seconds=30)
HEARTBEAT_SECONDS = 8.0
RING_AGAIN_AFTER = timedelta(seconds=30)
SWEPT_AT_ONCE = 500


def database_now(session: Session) -> datetime:
    if session.get_bind().dialect.name == "postgresql":
        moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
        return moment
    return now()


def claim(session: Session, job_id: UUID, owner: str, lease: timedelta = LEASE) -> Job | None:
    """Take the job if it is due and nobody holds it; None if it is finished, held, not due or out of attempts."""
    moment = database_now(session)
    won = changed(
        session,
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.PENDING, Job.run_after <= moment)
        .values(
            status=JobStatus.PROCESSING,
            attempts=Job.attempts + 1,
            started_at=func.coalesce(Job.started_at, moment),
            lease_owner=owner,
            lease_until=moment + lease,
            updated_at=moment,
        ),
    )
    if not won:
        return None
    events.note(session, job_id, "claimed", owner)
    return session.get(Job, job_id, populate_existing=True)


def renew(session: Session, job_id: UUID, owner: str, lease: timedelta = LEASE) -> bool:
    """Hold on for another lease; False if the job is no longer the caller's."""
    moment = database_now(session)
    return changed(session, held(job_id, owner).values(lease_until=moment + lease))


def finish(session: Session, job_id: UUID, owner: str, outcome: Outcome) -> bool:
    """Write what came of the work; False, and nothing written, if the job is no longer the caller's."""
    moment = database_now(session)
    values: dict[str, object] = {"lease_owner": None, "lease_until": None, "updated_at": moment}
    if isinstance(outcome, Again):
        values |= {
            "status": JobStatus.PENDING,
            "run_after": moment + timedelta(seconds=outcome.after),
            "dispatched_at": None,
            "stage": outcome.message[:100] or None,
        }
    elif isinstance(outcome, Done):
        values |= {
            "status": JobStatus.SUCCEEDED,
            "progress_percent": 100,
            "result": outcome.result,
            **(outcome.file.columns() if outcome.file else {}),
            "error": None,
            "finished_at": moment,
            "stage": None,
        }
    else:
        values |= {
            "status": JobStatus.FAILED,
            "error": {"code": outcome.code, "message": outcome.message},
            "finished_at": moment,
            "stage": None,
        }
    if not changed(session, held(job_id, owner).values(**values)):
        return False
    events.note(session, job_id, *line_of(outcome))
    if isinstance(outcome, Done) and outcome.then is not None:
        outcome.then(session)
    return True


def line_of(outcome: Outcome) -> tuple[str, str | None]:
    if isinstance(outcome, Again):
        return "handed_back", outcome.message or None
    if isinstance(outcome, Done):
        return "succeeded", None
    return "failed", f"{outcome.code}: {outcome.message}"


def tell(session: Session, job_id: UUID, owner: str, percent: float, stage: str) -> bool:
    """Write how far the work is; False if the job is no longer the caller's."""
    values = {"progress_percent": min(max(int(percent), 0), 99), "stage": stage[:100], "updated_at": database_now(session)}
    return changed(session, held(job_id, owner).values(**values))


def keep(session: Session, job_id: UUID, owner: str, result: dict[str, object], percent: float, stage: str) -> bool:
    """Write what is there of the result so far; False if the job is no longer the caller's, who then must not commit."""
    values = {"result": result, "progress_percent": min(max(int(percent), 0), 99), "stage": stage[:100]}
    return changed(session, held(job_id, owner).values(**values, updated_at=database_now(session)))


def pass_point_of_no_return(session: Session, job_id: UUID, owner: str) -> bool:
    """From here on the job cannot be cancelled; False if it is no longer the caller's."""
    return changed(session, held(job_id, owner).values(irrevocable_at=database_now(session)))


def still_held(session: Session, owners: Mapping[UUID, str]) -> set[UUID]:
    """Which of these jobs are still their owners' to work on: not cancelled, not given to another."""
    if not owners:
        return set()
    rows = session.execute(select(Job.id, Job.lease_owner).where(Job.id.in_(owners), Job.status == JobStatus.PROCESSING))
    return {job_id for job_id, owner in rows if owners[job_id] == owner}


def acknowledge(session: Session, job_id: UUID, owner: str) -> None:
    """The worker has stopped a cancelled job and removed its files."""
    moment = database_now(session)
    stopped = update(Job).where(Job.id == job_id, Job.lease_owner == owner, Job.status == JobStatus.CANCELLED)
    session.execute(stopped.values(cancel_acknowledged_at=moment, lease_owner=None, lease_until=None))


def sweep(session: Session) -> list[UUID]:
    """Free what dead workers held, and answer the jobs the queue should be told of (again)."""
    moment = database_now(session)
    abandoned = and_(Job.status == JobStatus.CANCELLED, Job.cancel_acknowledged_at.is_(None), Job.lease_until < moment)
    session.execute(update(Job).where(abandoned).values(cancel_acknowledged_at=moment, lease_owner=None, lease_until=None))
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
                    and_(Job.status == JobStatus.CANCELLED, Job.cancel_acknowledged_at.is_(None), Job.lease_until < moment),
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


def changed(session: Session, statement: Update) -> bool:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
