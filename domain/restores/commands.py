"""Asking for a restore, entering it in what takes the live data's place, and acknowledging its report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.audit.recording import plain, storable
from domain.backups.budget import within_budget
from domain.backups.commands import enqueue_the_one
from domain.backups.errors import OperationInProgress
from domain.backups.manifest import Manifest
from domain.backups.vault import Vault
from domain.db import now
from domain.errors import Invalid
from domain.jobs.commands import enqueue, enqueue_unless_live
from domain.jobs.models import Job
from domain.jobs.types import AUDIT_VERIFY, BACKUP, RESTORE, RESTORE_CHECK
from domain.restores.carrying import Carried, LeftOut
from domain.restores.errors import NotChecked, NothingToRollBack, RestoreNotFound, WrongConfirmation
from domain.restores.models import Kind, Quarantined, Restore
from domain.restores.restorer import Order, Restorer

KEPT_FOR = timedelta(hours=72)
"""How long the data that a restore replaced can be put back."""


@dataclass(frozen=True)
class Asked:
    job: Job
    moment: datetime

    @property
    def warning(self) -> str:
        return f"This will replace current data with backup from {utc(self.moment)}"


def request_restore(
    session: Session,
    actor: Actor,
    vault: Vault,
    restorer: Restorer,
    *,
    backup_id: UUID,
    confirmation_code: str,
    target_timestamp: datetime | None = None,
    include_uploads: bool = True,
) -> Asked:
    """Ask for a restore: a job does it. One an hour for the whole installation, not counting those that failed or were cancelled.

    Raises RateLimited, MfaRequired, WrongConfirmation, OperationInProgress and all that `Restorer.check` raises.
    """
    actor.require(Permission.SYSTEM_RESTORE)
    within_budget(session, RESTORE, "One restore an hour can be asked for, and one was.")
    actor.require_fresh_mfa()
    manifest = vault.get(backup_id)
    moment = moment_of(manifest, target_timestamp)
    confirm(confirmation_code, code_for(moment or manifest.snapshot_at))
    restorer.check(manifest, moment)
    asked: dict[str, Any] = {"backup_id": str(backup_id), "target_timestamp": moment and utc(moment), "include_uploads": include_uploads}
    job = enqueue_the_one(session, RESTORE.name, actor.admin_id, asked)
    audit.record(session, actor, "restore.requested", job, **asked)
    return Asked(job, moment or manifest.snapshot_at)


def request_rollback(session: Session, actor: Actor, restorer: Restorer, restore_id: UUID, *, confirmation_code: str) -> Asked:
    """Ask for the data that a restore replaced to be put back; they are kept for 72 hours.

    Raises MfaRequired, RestoreNotFound, WrongConfirmation, NothingToRollBack, OperationInProgress.
    """
    actor.require(Permission.SYSTEM_RESTORE, mfa=True)
    restore = get_row(session, restore_id)
    confirm(confirmation_code, rollback_code_for(restore))
    if restore.rolled_back_at is not None or not restorer.can_roll_back(restore_id):
        raise NothingToRollBack("The data that this restore replaced are not kept any more, or were put back already.")
    job = enqueue_the_one(session, RESTORE.name, actor.admin_id, {"undone_id": str(restore_id)})
    audit.record(session, actor, "restore.rollback_requested", restore, job_id=job.id)
    return Asked(job, restore.swapped_at)


def moment_of(manifest: Manifest, target: datetime | None) -> datetime | None:
    """None where the backup itself is meant."""
    return None if target == manifest.snapshot_at else target


def code_for(moment: datetime) -> str:
    """What must be typed: a restore is never one click too many."""
    return f"RESTORE-{moment.astimezone(UTC):%Y-%m-%d}"


def rollback_code_for(restore: Restore) -> str:
    return f"ROLLBACK-{restore.swapped_at.astimezone(UTC):%Y-%m-%d}"


def confirm(given: str, expected: str) -> None:
    if given.strip() != expected:
        raise WrongConfirmation(f"The confirmation code is {expected}: the date is that of the moment to go back to, in UTC.")


@dataclass(frozen=True)
class Facts:
    """What the row of a restore holds beside what was asked for."""

    started_at: datetime
    reached_at: datetime
    safety_backup_id: UUID | None
    carried: Carried


def enter(session: Session, order: Order, facts: Facts) -> Restore:
    """Write into the data that are about to become live that they are a restore's, what was left out, and what is to follow.

    All of it is there exactly if the swap came to be.
    """
    moment = now()
    restore = Restore(
        id=order.id,
        kind=Kind.RESTORE if order.undone_id is None else Kind.ROLLBACK,
        backup_id=order.backup_id,
        undone_id=order.undone_id,
        target_at=order.moment,
        reached_at=facts.reached_at,
        requested_by=order.requested_by,
        requested_by_id=order.requested_by_id,
        started_at=facts.started_at,
        swapped_at=moment,
        safety_backup_id=facts.safety_backup_id,
        carried={"refunds": facts.carried.money, "rows": facts.carried.rows},
        left_out=len(facts.carried.left_out),
        kept_until=moment + KEPT_FOR,
    )
    session.add(restore)
    session.flush()
    session.add_all(quarantined(order.id, out) for out in facts.carried.left_out)
    if order.undone_id is not None:
        session.execute(update(Restore).where(Restore.id == order.undone_id).values(rolled_back_at=moment, kept_until=None))
    actor = Actor(admin_id=order.requested_by_id, name=order.requested_by, permissions=frozenset())
    audit.record(session, actor, "restore.completed", restore, **told(restore))
    anew = {"backup_type": "full", "include_uploads": None, "description": "The first after a restore"}  # None: as those made by itself
    for job in (
        enqueue(session, RESTORE_CHECK.name, subject_id=order.id, metadata={"restore_id": str(order.id)}),
        enqueue(session, BACKUP.name, subject_id=uuid4(), metadata=anew),
        enqueue_unless_live(session, AUDIT_VERIFY.name),
    ):
        if job is not None:
            job.dispatched_at = None  # nobody rings for them before they are live
    return restore


def quarantined(restore_id: UUID, out: LeftOut) -> Quarantined:
    return Quarantined(restore_id=restore_id, table_name=out.table, contents=readable(out.row), reason=out.reason)


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON, from which it could be written again by hand."""
    return {name: base64.b64encode(value).decode() if isinstance(value, bytes) else plain(value) for name, value in row.items()}


def acknowledge(session: Session, actor: Actor, restore_id: UUID, *, note: str | None = None) -> Restore:
    """Say that the report was read: approvals and payouts go on. Earlier restores that nobody acknowledged count as acknowledged with it.

    Raises RestoreNotFound, MfaRequired, NotChecked, Invalid (a note is needed where the gateways say otherwise of a refund, or cannot
    tell).
    """
    actor.require(Permission.SYSTEM_RESTORE, mfa=True)
    restore = get_row(session, restore_id, lock=True)
    if restore.acknowledged_at is not None:
        return restore
    if restore.report is None:
        raise NotChecked("The refunds are still being compared with the gateways: acknowledge the report once it is there.")
    note = storable(note.strip()) if note else None
    doubtful, unread = restore.report["uncertain"] + restore.report["differs"], restore.report.get("unread")
    if unread and not note:
        raise Invalid(f"{unread[0]}: say in a note how you made sure of what was paid since, or ask the gateways again.", field="note")
    if doubtful and not note:
        what = "refund is" if doubtful == 1 else "refunds are"
        raise Invalid(f"{doubtful} {what} not as the gateways say, or unknown to them: say in a note how you made sure.", field="note")
    unacknowledged = select(Restore).where(Restore.acknowledged_at.is_(None), Restore.swapped_at <= restore.swapped_at)
    for each in session.scalars(unacknowledged.with_for_update()):
        each.acknowledged_at, each.acknowledged_by = now(), actor.name
        each.note = note if each.id == restore_id else each.note
        audit.record(session, actor, "restore.acknowledged", each, note=each.note)
    return restore


def request_check(session: Session, actor: Actor, restore_id: UUID) -> Job:
    """Compare with the gateways once more. Raises RestoreNotFound, OperationInProgress."""
    actor.require(Permission.SYSTEM_RESTORE)
    restore = get_row(session, restore_id)
    try:
        with session.begin_nested():
            job = enqueue(
                session, RESTORE_CHECK.name, creator_id=actor.admin_id, subject_id=restore_id, metadata={"restore_id": str(restore_id)}
            )
            session.flush()
    except IntegrityError:
        raise OperationInProgress from None
    audit.record(session, actor, "restore.check_requested", restore, job_id=job.id)
    return job


def get_row(session: Session, restore_id: UUID, *, lock: bool = False) -> Restore:
    restore = session.get(Restore, restore_id, with_for_update=lock or None, populate_existing=lock)
    if restore is None:
        raise RestoreNotFound
    return restore


def told(restore: Restore) -> dict[str, Any]:
    """What a job answers and an entry of the audit log keeps of a restore."""
    return {
        "restore_id": str(restore.id),
        "kind": str(restore.kind),
        "backup_id": restore.backup_id and str(restore.backup_id),
        "recovered_to": utc(restore.reached_at),
        "target_timestamp": restore.target_at and utc(restore.target_at),
        "swapped_at": utc(restore.swapped_at),
        "safety_backup_id": restore.safety_backup_id and str(restore.safety_backup_id),
        "refunds_carried": restore.carried["refunds"],
        "rows_left_out": restore.left_out,
        "kept_until": restore.kept_until and utc(restore.kept_until),
    }


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def record_recovered(session: Session, actor: Actor, sides: Sequence[tuple[UUID, bool, str]]) -> None:
    for restore_id, swapped, step in sides:
        outcome = {"swapped": swapped, "step": step}
        audit.record(session, actor, "restore.recovered", object_type="restores", object_id=restore_id, after=outcome)
