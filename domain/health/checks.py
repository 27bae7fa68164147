"""What the database tells of the portal's health: one check each, in words that say what to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import GENESIS
from domain.db import now
from domain.jobs import workers
from domain.jobs.models import Job, JobStatus
from domain.marketplace.models import Payment, Provider
from domain.refunds.models import ProcessingState, Refund, RefundStatus
from domain.roles.queries import count_approvers
from domain.traffic.queries import last_day

LONG_WAIT = timedelta(minutes=1)
TOO_LONG_A_WAIT = timedelta(minutes=10)
MANY_ERRORS_PERCENT = 1.0


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """`advice` is what to do about it; empty where all is well."""

    name: str
    level: Level
    found: str
    advice: str = ""


def examine(session: Session, actor: Actor, gateways: Collection[str], *, production: bool) -> list[Check]:
    """Every check that reads the database. `gateways`: those whose keys are set."""
    actor.require(Permission.SYSTEM_HEALTH)
    return [
        living_workers(session),
        oldest_wait(session),
        failed_jobs(session),
        troubled_refunds(session),
        gateways_of_payments(session, gateways, production),
        approvers(session),
        audit_chain(session),
        requests(session, actor),
    ]


def living_workers(session: Session) -> Check:
    living = workers.living(session)
    if not living:
        return Check("workers", Level.FAIL, "none is alive", "Start one: flask worker")
    threads, running = sum(row.threads for row in living), sum(row.jobs_running for row in living)
    where = ", ".join(f"{row.host}:{row.pid}" for row in living[:5]) + (" and more" if len(living) > 5 else "")
    return Check("workers", Level.OK, f"{len(living)} alive ({where}), {threads} threads, {running} jobs running")


def oldest_wait(session: Session) -> Check:
    moment = now()
    count, oldest = session.execute(
        select(func.count(), func.min(Job.run_after)).where(Job.status == JobStatus.PENDING, Job.run_after <= moment)
    ).one()
    if oldest is None:
        return Check("waiting jobs", Level.OK, "none waits for a worker")
    wait = max(moment - oldest, timedelta())
    found = f"{count}, the oldest for {round(wait.total_seconds())} s"
    if wait <= LONG_WAIT:
        return Check("waiting jobs", Level.OK, found)
    level = Level.WARN if wait <= TOO_LONG_A_WAIT else Level.FAIL
    return Check("waiting jobs", level, found, "Start more workers, or give them more threads: flask worker --threads 8")


def failed_jobs(session: Session) -> Check:
    failed = Job.status == JobStatus.FAILED, Job.finished_at > now() - timedelta(hours=24), Job.deleted_at.is_(None)
    by_type = session.execute(select(Job.type, func.count()).where(*failed).group_by(Job.type).order_by(func.count().desc())).all()
    if not by_type:
        return Check("failed jobs", Level.OK, "none in the last 24 hours")
    found = f"{sum(count for _, count in by_type)} in the last 24 hours ({', '.join(f'{type} {count}' for type, count in by_type)})"
    return Check("failed jobs", Level.WARN, found, "See why: flask jobs list --status failed")


def troubled_refunds(session: Session) -> Check:
    troubled = (ProcessingState.FAILED, ProcessingState.UNKNOWN)
    counts = dict(
        session.execute(
            select(Refund.processing_state, func.count())
            .where(Refund.status == RefundStatus.APPROVED, Refund.processing_state.in_(troubled))
            .group_by(Refund.processing_state)
        ).all()
    )
    if not counts:
        return Check("refunds", Level.OK, "no payout needs a person")
    found = f"{counts.get(ProcessingState.FAILED, 0)} payouts failed, of {counts.get(ProcessingState.UNKNOWN, 0)} nobody knows the outcome"
    return Check("refunds", Level.WARN, found, "Open the refund queue, filtered by these states, and look at each at its gateway")


def gateways_of_payments(session: Session, configured: Collection[str], production: bool) -> Check:
    """Whether every gateway that took a payment can be asked to give it back."""
    used = [
        str(provider)
        for provider in Provider
        if session.scalar(select(Payment.id).where(Payment.provider == provider).limit(1)) is not None
    ]
    lacking = [name for name in used if name not in configured]
    if lacking:
        keys = " and ".join(f"{name.upper()}_..." for name in lacking)
        return Check("gateways", Level.FAIL, f"payments came through {', '.join(lacking)}, whose keys are not set", f"Set {keys}")
    if production and Provider.SANDBOX in used:
        return Check("gateways", Level.WARN, "some payments are the sandbox's, which moves no money", "Import the real payments' data")
    return Check("gateways", Level.OK, f"keys are set for all that took payments ({', '.join(used) or 'no payments yet'})")


def approvers(session: Session) -> Check:
    found = count_approvers(session)
    able, sure = found.able, found.ready
    said = f"{able} admins may approve refunds, {sure} of them with a second factor"
    if able < 2:
        advice = "Large refunds need two people: flask admin create ... --role finance_admin"
        return Check("approvers", Level.WARN, said, advice)
    if sure < 2:
        return Check("approvers", Level.WARN, said, "Large refunds need two people with one: let them set it up under Account")
    return Check("approvers", Level.OK, said)


def audit_chain(session: Session) -> Check:
    """Whether the chain has its head, and ends with it; that each link holds is for `flask audit verify`."""
    newest = select(func.max(AuditEntry.sequence)).scalar_subquery()
    found = session.execute(  # in one statement, so that it is one moment's view while others go on writing
        select(AuditHead.sequence, AuditHead.hash, AuditEntry.hash, newest).outerjoin(AuditEntry, AuditEntry.sequence == AuditHead.sequence)
    ).one_or_none()
    sequence, digest, last, highest = found or (-1, "", None, None)
    if (sequence, digest) != (highest or 0, last or GENESIS):
        return Check("audit log", Level.FAIL, "its end is not where its head says", "See what is gone: flask audit verify")
    return Check("audit log", Level.OK, f"{sequence} entries, and its end is where its head says")


def requests(session: Session, actor: Actor) -> Check:
    day = last_day(session, actor)
    if not day.requests or day.error_percent is None:
        return Check("requests", Level.OK, "none in the last 24 hours")
    found = f"{day.requests} in the last 24 hours, {day.mean_ms:.1f} ms on average, {day.error_percent:.2f} % of them errors"
    if day.error_percent <= MANY_ERRORS_PERCENT:
        return Check("requests", Level.OK, found)
    return Check("requests", Level.WARN, found, "See why in the log: the lines of requests with a status of 500 or above")
