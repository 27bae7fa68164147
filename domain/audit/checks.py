"""Verifying the chain once a day and whenever somebody asks: what was found is an entry of the log itself.

So the log says when it was last found whole and up to where, that end is part of what the next verification covers, and whoever cuts
the log back cuts the news of it as well as its entries. The worker also writes the end to its own log, which is kept elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.audit.models import AuditEntry
from domain.audit.verification import Finding, Link
from domain.errors import Conflict
from domain.jobs import periodic
from domain.jobs.commands import enqueue_unless_live
from domain.jobs.models import Job
from domain.jobs.types import AUDIT_VERIFY

EVERY = timedelta(days=1)
OLD = timedelta(days=2)
WHOLE, BROKEN = "audit.verified", "audit.broken"


@dataclass(frozen=True)
class Verification:
    """The last one: of a broken log also the entry where it breaks. `entries` are those that held."""

    at: datetime
    by: str
    whole: bool
    entries: int
    broken_at: int | None
    what: str | None
    entry: AuditEntry


class VerificationUnderWay(Conflict):
    code = "VERIFICATION_UNDER_WAY"


def record(session: Session, actor: Actor, finding: Finding) -> None:
    """Add what was found to the log."""
    broken = finding.broken
    wrong: dict[str, Any] = {} if broken is None else {"broken_at": broken.sequence, "message": broken.what}
    audit.record(
        session,
        actor,
        WHOLE if broken is None else BROKEN,
        object_type=AuditEntry.__tablename__,
        entries=finding.entries,
        head={"sequence": finding.head.sequence, "hash": finding.head.hash},
        **wrong,
    )


def last_verification(session: Session, actor: Actor) -> Verification | None:
    """What the last verification found; None where there was none yet."""
    actor.require(Permission.AUDIT_LIST)
    entry = newest(session, WHOLE, BROKEN)
    if entry is None:
        return None
    told = entry.details
    return Verification(
        at=entry.created_at,
        by=entry.actor_name,
        whole=entry.action == WHOLE,
        entries=number(told.get("entries")) or 0,
        broken_at=number(told.get("broken_at")),
        what=str(told["message"]) if told.get("message") else None,
        entry=entry,
    )


def last_whole_end(session: Session) -> Link | None:
    """The end of the chain when it was last found whole: an entry that must still be there."""
    entry = newest(session, WHOLE)
    head = entry.details.get("head") if entry else None
    if not isinstance(head, dict) or not isinstance(head.get("sequence"), int):
        return None
    return Link(head["sequence"], str(head.get("hash")))


def newest(session: Session, *actions: str) -> AuditEntry | None:
    found = [
        session.scalar(select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.sequence.desc()).limit(1))
        for action in actions
    ]
    return max((entry for entry in found if entry is not None), key=lambda entry: entry.sequence, default=None)


def number(told: object) -> int | None:
    return told if isinstance(told, int) else None


def wanted(session: Session) -> bool:
    return periodic.wanted(session, AUDIT_VERIFY.name, every=EVERY, after_a_failure=EVERY)


def request(session: Session) -> Job | None:
    """Ask for the day's verification if it is wanted."""
    return enqueue_unless_live(session, AUDIT_VERIFY.name) if wanted(session) else None


def ask(session: Session, actor: Actor) -> Job:
    """Have the log verified now. Raises Forbidden, VerificationUnderWay."""
    actor.require(Permission.AUDIT_LIST)
    job = enqueue_unless_live(session, AUDIT_VERIFY.name, creator_id=actor.admin_id)
    if job is None:
        raise VerificationUnderWay("The log is being verified already: look again in a moment.")
    audit.record(session, actor, "job.started", job, after={"status": "pending"}, type=AUDIT_VERIFY.name)
    return job
