"""How the backups are: whether the newest that could be restored is young enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.backups.standing import Standing, State, find_standing, oldest_allowed
from domain.backups.vault import Archiving, Part, Vault
from domain.db import now
from domain.errors import DomainError
from domain.health import storage_usage
from domain.health.report import Service, Status
from domain.health.storage_usage import StorageMeasurement
from domain.roles.models import Role

GIGABYTE = 1_000_000_000
Disk = Mapping[Part | None, StorageMeasurement]


@dataclass(frozen=True)
class Found:
    """What there is of backups. `archiving`: None where nothing is kept of what changes between them; `silent`: nobody tells."""

    standing: Standing
    archiving: Archiving | None
    silent: bool = False


def look(vault: Vault) -> Found:
    standing = find_standing(vault)
    try:
        return Found(standing, vault.archiving())
    except DomainError:
        return Found(standing, None, silent=True)


def set_up_at(session: Session, actor: Actor) -> datetime | None:
    """Since when there is something to back up: the age of the roles that the first migration made."""
    actor.require(Permission.SYSTEM_HEALTH)
    return session.scalar(select(func.min(Role.created_at)))


def find_disk(session: Session, actor: Actor, folder: object) -> Disk:
    """What a worker counted in BACKUP_DIR: `None` for all of it together."""
    actor.require(Permission.SYSTEM_HEALTH)
    counted = {part: storage_usage.find(session, storage_usage.of_backups(folder, part or "")) for part in (None, *Part)}
    return {part: each for part, each in counted.items() if each is not None}


def judge(found: Found, every: timedelta, since: datetime | None, disk: Disk) -> Service:
    """`every`: how often one is made by itself; `since`: when the portal was set up. One that is younger than a backup may be old is not
    ill because it has none."""
    standing, archiving = found.standing, found.archiving
    newest, age = standing.newest, standing.age
    figures = {
        "newest_verified_at": newest and newest.snapshot_at,
        "newest_age_seconds": None if age is None else int(age.total_seconds()),
        "backup_count": len(standing.manifests) + len(standing.unreadable),
        "verified_count": standing.count(State.VERIFIED),
        "damaged_count": standing.count(State.DAMAGED, State.CUT_OFF) + len(standing.unreadable),
        "stored_gb": round(sum(manifest.stored_bytes for manifest in standing.manifests) / GIGABYTE, 3),
        "every_hours": int(every / timedelta(hours=1)) or None,
        "archived_until": archiving and archiving.until,
        "disk_counted_at": disk[None].measured_at if None in disk else None,
        **{name: round(disk[part].bytes / GIGABYTE, 3) if part in disk else None for name, part in ON_DISK.items()},
    }
    reasons = {} if every else {"every_hours": "BACKUP_EVERY_HOURS is 0: none is made by itself"}
    if None not in disk:
        reasons |= dict.fromkeys(("disk_counted_at", *ON_DISK), UNCOUNTED)
    if age is None:
        missing = "No backup was made yet" if not figures["backup_count"] else "No backup can be restored"
        reasons |= dict.fromkeys(("newest_verified_at", "newest_age_seconds"), missing)
    if figures["archived_until"] is None:
        reasons["archived_until"] = UNTOLD if found.silent else UNARCHIVED
    error = trouble(found, oldest_allowed(every), since)
    return Service(Status.DEGRADED if error else Status.HEALTHY, error, figures, reasons)


ON_DISK = {"disk_gb": None, "uploads_gb": Part.UPLOADS, "archive_gb": Part.ARCHIVE, "replaced_gb": Part.REPLACED}
UNCOUNTED = "A worker counts BACKUP_DIR once an hour, and none has yet"
UNARCHIVED = "Nothing keeps what changes between backups"
UNTOLD = "The backups' programs do not answer"


def trouble(found: Found, allowed: timedelta, since: datetime | None) -> str | None:
    standing, archiving = found.standing, found.archiving
    if standing.age is None:
        young = since is not None and now() - since <= allowed
        if standing.manifests or standing.unreadable:
            return "No backup can be restored"
        return None if young else "No backup was made yet"
    if standing.age > allowed:
        return f"The newest verified backup is more than {round(allowed / timedelta(hours=1))} hours old"
    if found.silent:
        return UNTOLD
    if archiving is not None and not archiving.running and archiving.until is not None:
        return "What changes between backups is not kept any more"
    return None
