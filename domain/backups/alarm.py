"""Whether backups that the portal makes by itself come to nothing, and telling the super admins: one message when that begins, one when it
is over.

That they were told is an entry of the audit log, which goes on over a restore: nobody is told twice of the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from domain.backups.manifest import plain
from domain.backups.standing import Standing, find_standing, oldest_allowed
from domain.backups.vault import Vault
from domain.db import now
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import BACKUP
from domain.notifications.requests import Notice, request_alarm
from domain.roles.models import Role
from domain.throttle import Limit, count_try

RAISED, ENDED = "backup.alarm_raised", "backup.alarm_ended"
ONE_TELLS = Limit("backups.alarm", tries=1, period=timedelta(minutes=1))
"""Of the workers that find the same at the same time, the first."""


class Trouble(StrEnum):
    FAILED = "failed"  # the newest that was tried by itself, and none was made since
    OLD = "old"  # none that could be restored is young enough
    WITHOUT_FILES = "without_files"  # the newest that was made by itself lacks the files of the storage, which were to be in it


@dataclass(frozen=True)
class Alarm:
    """`job_id`: of the backup that says more."""

    trouble: Trouble
    job_id: UUID | None = None


def find(session: Session, standing: Standing, every: timedelta) -> Alarm | None:
    last = session.scalar(
        select(Job)
        .where(Job.type == BACKUP.name, Job.creator_id.is_(None), Job.status.in_((JobStatus.FAILED, JobStatus.SUCCEEDED)))
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )
    if last is not None and last.status == JobStatus.FAILED and not made_since(last, standing):
        return Alarm(Trouble.FAILED, last.id)
    if too_old(session, standing, every):
        return Alarm(Trouble.OLD)
    if last is not None and lacks_files(last):
        return Alarm(Trouble.WITHOUT_FILES, last.id)
    return None


def lacks_files(made: Job) -> bool:
    """The first after a restore leaves it to the settings whether it has them: then its note tells that they were to be in it."""
    if not made.result or made.result.get("uploads"):
        return False
    asked = made.payload.get("include_uploads")
    return bool(made.result.get("note") if asked is None else asked)


def made_since(failed: Job, standing: Standing) -> bool:
    """Whoever made it: by hand on the command line, too."""
    return standing.newest is not None and standing.newest.snapshot_at > failed.created_at


def too_old(session: Session, standing: Standing, every: timedelta) -> bool:
    """A portal that was set up a moment ago may have none yet."""
    allowed = oldest_allowed(every)
    if standing.age is not None:
        return standing.age > allowed
    since = session.scalar(select(func.min(Role.created_at)))
    return since is not None and now() - since > allowed


def is_raised(session: Session) -> bool:
    newest = select(AuditEntry.action).where(AuditEntry.action.in_((RAISED, ENDED))).order_by(AuditEntry.sequence.desc()).limit(1)
    return session.scalar(newest) == RAISED


def wanted(session: Session, vault: Vault, every: timedelta) -> bool:
    """Whether there is something to tell that was not told yet."""
    return (find(session, find_standing(vault), every) is not None) is not is_raised(session)


def tell(session: Session, vault: Vault, every: timedelta) -> list[Job]:
    """Tell every super admin what there is to tell; nothing where another worker has done so."""
    if count_try(session, ONE_TELLS, "backups") is not None:
        return []
    standing = find_standing(vault)
    alarm = find(session, standing, every)
    if (alarm is not None) is is_raised(session):
        return []
    about = {
        "trouble": str(alarm.trouble) if alarm else None,
        "job_id": str(alarm.job_id) if alarm and alarm.job_id else None,
        "newest_at": str(plain(standing.newest.snapshot_at)) if standing.newest else None,
    }
    audit.record(session, SYSTEM, RAISED if alarm else ENDED, trouble=about["trouble"], newest_at=about["newest_at"])
    return request_alarm(session, Notice.BACKUPS_FAILING if alarm else Notice.BACKUPS_WELL, about)
