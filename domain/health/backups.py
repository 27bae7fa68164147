"""How the backups are: whether the newest that could be restored is young enough."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.backups.standing import Standing, State, oldest_allowed
from domain.db import now
from domain.health.report import Service, Status
from domain.roles.models import Role

GIGABYTE = 1_000_000_000


def set_up_at(session: Session, actor: Actor) -> datetime | None:
    """Since when there is something to back up: the age of the roles that the first migration made."""
    actor.require(Permission.SYSTEM_HEALTH)
    return session.scalar(select(func.min(Role.created_at)))


def judge(standing: Standing, every: timedelta, since: datetime | None) -> Service:
    """`every`: how often one is made by itself; `since`: when the portal was set up. One that is younger than a backup may be old is not
    ill because it has none."""
    allowed, newest, age = oldest_allowed(every), standing.newest, standing.age
    figures = {
        "newest_verified_at": newest and newest.snapshot_at,
        "newest_age_seconds": None if age is None else int(age.total_seconds()),
        "backup_count": len(standing.manifests) + len(standing.unreadable),
        "verified_count": standing.count(State.VERIFIED),
        "damaged_count": standing.count(State.DAMAGED, State.CUT_OFF) + len(standing.unreadable),
        "stored_gb": round(sum(manifest.stored_bytes for manifest in standing.manifests) / GIGABYTE, 3),
        "every_hours": int(every / timedelta(hours=1)) or None,
    }
    reasons = {} if every else {"every_hours": "BACKUP_EVERY_HOURS is 0: none is made by itself"}
    if age is None:
        none_yet = not figures["backup_count"]
        missing = "No backup was made yet" if none_yet else "No backup can be restored"
        reasons |= dict.fromkeys(("newest_verified_at", "newest_age_seconds"), missing)
        young = since is not None and now() - since <= allowed
        return (
            Service(Status.HEALTHY, None, figures, reasons) if none_yet and young else Service(Status.DEGRADED, missing, figures, reasons)
        )
    if age > allowed:
        hours = round(allowed / timedelta(hours=1))
        return Service(Status.DEGRADED, f"The newest verified backup is more than {hours} hours old", figures, reasons)
    return Service(Status.HEALTHY, None, figures, reasons)
