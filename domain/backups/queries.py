"""Reading the catalog."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.backups.errors import IncrementalNotSupported
from domain.backups.manifest import BackupType, Manifest
from domain.backups.standing import State, find_standing
from domain.backups.vault import Span, Vault, Wish
from domain.errors import DomainError, Forbidden
from domain.identity.models import Admin
from domain.jobs.commands.enqueue import THE_ONE
from domain.jobs.models import Job, JobStatus
from domain.jobs.periodic import UNFINISHED
from domain.jobs.queries import JobRow
from domain.jobs.types import BACKUP, BACKUP_VERIFY, RESTORE
from domain.pagination import Page, PageRequest, Position

BYTES_PER_SECOND = 40_000_000  # what a first backup is taken to copy, store and compare
OPERATIONS = (BACKUP.name, BACKUP_VERIFY.name, RESTORE.name)


def list_backups(actor: Actor, vault: Vault, request: PageRequest) -> Page[Manifest]:
    """A page of backups, newest first; the summary says how many can be restored, and which moments can be reached."""
    may_see(actor)
    standing = find_standing(vault)
    coverage = find_coverage(vault)
    every = standing.manifests
    start = (request.page - 1) * request.page_size
    rest = every[start:]
    if request.cursor is not None:
        last = Position.decode(request.cursor)
        rest = [manifest for manifest in every if (manifest.snapshot_at, str(manifest.id)) < (last.at, str(last.id))]
    items = rest[: request.page_size]
    more = len(rest) > len(items)
    return Page(
        items=items,
        total_items=len(every),
        request=request,
        next_cursor=Position(items[-1].snapshot_at, items[-1].id).encode() if more else None,
        summary={
            "verified": standing.count(State.VERIFIED),
            "unreadable": len(standing.unreadable),
            "stored_bytes": sum(manifest.stored_bytes for manifest in every),
            "newest_verified_at": standing.newest and standing.newest.snapshot_at,
            "coverage": coverage.spans,
            "reasons": {"coverage": coverage.reason} if coverage.reason else {},
        },
    )


@dataclass(frozen=True)
class Coverage:
    """The moments that can be reached; where whoever knows them does not answer, none, and why."""

    spans: Sequence[Span] | None
    reason: str | None = None


def find_coverage(vault: Vault) -> Coverage:
    try:
        return Coverage(list(vault.coverage()))
    except DomainError as error:
        return Coverage(None, error.message)


def get_backup(actor: Actor, vault: Vault, backup_id: UUID) -> Manifest:
    may_see(actor)
    return vault.get(backup_id)


def find_operation(session: Session, actor: Actor) -> JobRow | None:
    """The backup, verification or restore that is under way or waits for its turn; of several, the one that came first."""
    may_see(actor)
    unfinished = select(Job, Admin.name).where(Job.status.in_(UNFINISHED)).order_by(Job.created_at)
    return first(session, unfinished)


def find_failure(session: Session, actor: Actor) -> JobRow | None:
    """What failed last, where nothing has succeeded since; that an older backup is whole makes up for no other failure."""
    may_see(actor)
    failure = first(session, select(Job, Admin.name).where(Job.status == JobStatus.FAILED).order_by(Job.finished_at.desc()))
    if failure is None:
        return None
    kinds = OPERATIONS if failure.job.type == BACKUP_VERIFY.name else (BACKUP.name, RESTORE.name)
    since = Job.type.in_(kinds), Job.status == JobStatus.SUCCEEDED, Job.finished_at >= failure.job.finished_at
    return failure if session.scalar(select(Job.id).where(*since).limit(1)) is None else None


def first(session: Session, found: Select[Job, str]) -> JobRow | None:
    found = found.outerjoin(Admin, Admin.id == Job.creator_id).where(Job.type.in_(OPERATIONS), Job.deleted_at.is_(None))
    row = session.execute(found.limit(1)).first()
    return JobRow(row[0], row[1]) if row else None


def makes_incremental(vault: Vault) -> bool:
    try:
        vault.check_wish(Wish(THE_ONE, BackupType.INCREMENTAL, None, ""))
    except IncrementalNotSupported:
        return False
    except DomainError:  # of what else speaks against one now, whoever asks for it is told
        pass
    return True


def may_see(actor: Actor) -> None:
    if not (actor.can(Permission.SYSTEM_BACKUP) or actor.can(Permission.SYSTEM_RESTORE)):
        needed = Permission.SYSTEM_BACKUP.value
        raise Forbidden(f"This needs the permission {needed}. Ask a super admin for a role that has it.", required_permission=needed)


def estimate_seconds(vault: Vault, backup_type: BackupType) -> int:
    """From the newest of that type and how the database has grown since; from its size alone where there was none yet."""
    size = vault.database_bytes()
    for manifest in vault.list():
        if manifest.effective_type is backup_type and manifest.engine is vault.engine:
            return max(1, math.ceil(manifest.duration_seconds * size / max(manifest.database_bytes, 1)))
    return max(1, math.ceil(size / BYTES_PER_SECOND))
