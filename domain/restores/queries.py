"""What was restored, and what a restore would do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.backups.manifest import Manifest
from domain.backups.queries import BYTES_PER_SECOND, may_see
from domain.backups.vault import Vault
from domain.db import Base
from domain.errors import DomainError
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import RESTORE, RESTORE_CHECK
from domain.marketplace.models import Booking, Payment, Referral, User, Vendor
from domain.pagination import Page, PageRequest, Position, cut, window
from domain.refunds.models import Refund, RefundStatus
from domain.restores.commands import code_for, get_row, moment_of
from domain.restores.models import Quarantined, Restore
from domain.restores.restorer import Restorer

RESTORED: dict[str, tuple[type[Base], Any]] = {
    "users": (User, User.created_at),
    "vendors": (Vendor, Vendor.created_at),
    "bookings": (Booking, Booking.created_at),
    "payments": (Payment, Payment.paid_at),
    "referrals": (Referral, Referral.created_at),
    "refund_requests": (Refund, Refund.requested_at),
}
PASSES = 4
"""How often all data are written or read in the course of a restore, roughly: for a first estimate."""


@dataclass(frozen=True)
class Change:
    """Rows of one table: now, in the backup (None where that is not known, as for a moment between backups), and of what came since."""

    table: str
    rows_now: int
    rows_then: int | None
    rows_since: int


@dataclass(frozen=True)
class Preview:
    """What a restore would do. `goes` counts what came since the moment and goes with it: requests that nobody approved yet, decisions
    against. `stays` counts refunds that were decided for since, whose money stays where it is."""

    manifest: Manifest
    moment: datetime
    exactly: bool
    code: str
    changes: Sequence[Change]
    requests_that_go: int
    rejections_that_go: int
    refunds_that_stay: int
    estimated_seconds: int


def preview(session: Session, actor: Actor, vault: Vault, restorer: Restorer, backup_id: UUID, target: datetime | None = None) -> Preview:
    """Say what a restore would do, and do nothing. Raises all that a restore would be refused for before it is begun."""
    actor.require(Permission.SYSTEM_RESTORE)
    manifest = vault.get(backup_id)
    asked = moment_of(manifest, target)
    restorer.check(manifest, asked)
    moment = asked or manifest.snapshot_at
    changes = [
        Change(
            name,
            rows_now=count(session, select(func.count()).select_from(model)),
            rows_then=manifest.row_counts.get(name) if asked is None else None,
            rows_since=count(session, select(func.count()).where(came_at > moment)),
        )
        for name, (model, came_at) in RESTORED.items()
    ]
    pending, rejected = Refund.status == RefundStatus.PENDING, Refund.status == RefundStatus.REJECTED
    return Preview(
        manifest=manifest,
        moment=moment,
        exactly=asked is None,
        code=code_for(moment),
        changes=changes,
        requests_that_go=count(session, select(func.count()).where(pending, Refund.requested_at > moment)),
        rejections_that_go=count(session, select(func.count()).where(rejected, Refund.rejected_at > moment)),
        refunds_that_stay=count(session, select(func.count()).where(Refund.approved_at > moment)),
        estimated_seconds=estimate_seconds(session, vault),
    )


def count(session: Session, question: Select[int]) -> int:
    found: int | None = session.scalar(question)
    return found or 0


def estimate_seconds(session: Session, vault: Vault) -> int:
    """As long as the last one took; where there was none, by the size of the database."""
    last = session.execute(
        select(Job.started_at, Job.finished_at)
        .where(Job.type == RESTORE.name, Job.status == JobStatus.SUCCEEDED)
        .order_by(Job.created_at.desc())
        .limit(1)
    ).first()
    if last is not None and last.started_at and last.finished_at:
        took: timedelta = last.finished_at - last.started_at
        return max(1, math.ceil(took.total_seconds()))
    return max(1, math.ceil(PASSES * vault.database_bytes() / BYTES_PER_SECOND))


def list_restores(session: Session, actor: Actor, request: PageRequest) -> Page[Restore]:
    """A page of restores and rollbacks, newest first; the summary says whether approvals are frozen by one."""
    may_see(actor)
    items, more = cut(
        session.scalars(window(select(Restore), request, Restore.swapped_at.expression, Restore.id.expression)).all(), request
    )
    return Page(
        items=items,
        total_items=count(session, select(func.count()).select_from(Restore)),
        request=request,
        next_cursor=Position(items[-1].swapped_at, items[-1].id).encode() if more else None,
        summary={"unacknowledged": count(session, select(func.count()).where(Restore.acknowledged_at.is_(None)))},
    )


@dataclass(frozen=True)
class Detail:
    """A restore with the rows that were left out of it, whether what it replaced can be put back, and the comparison that runs now."""

    restore: Restore
    left_out: Sequence[Quarantined]
    can_roll_back: bool
    checking: Job | None


LEFT_OUT_SHOWN = 200


def get_restore(session: Session, actor: Actor, restorer: Restorer, restore_id: UUID) -> Detail:
    may_see(actor)
    restore = get_row(session, restore_id)
    left_out = session.scalars(
        select(Quarantined)
        .where(Quarantined.restore_id == restore_id)
        .order_by(Quarantined.table_name, Quarantined.id)
        .limit(LEFT_OUT_SHOWN)
    ).all()
    unfinished = Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
    checking = session.scalars(select(Job).where(Job.type == RESTORE_CHECK.name, Job.subject_id == restore_id, unfinished)).first()
    return Detail(restore, left_out, can_roll_back(restore, restorer), checking)


def can_roll_back(restore: Restore, restorer: Restorer) -> bool:
    """Where that cannot be told now, the report is read and acknowledged all the same."""
    try:
        return restore.rolled_back_at is None and restorer.can_roll_back(restore.id)
    except DomainError:
        return False
