"""Reading the catalog."""

from __future__ import annotations

import math
from uuid import UUID

from domain.access import Actor, Permission
from domain.backups.manifest import BackupType, Manifest
from domain.backups.vault import Vault
from domain.errors import Forbidden
from domain.pagination import Page, PageRequest, Position

BYTES_PER_SECOND = 40_000_000  # what a first backup is taken to copy, store and compare


def list_backups(actor: Actor, vault: Vault, request: PageRequest) -> Page[Manifest]:
    """A page of backups, newest first; the summary says how many are verified, and how many cannot be read."""
    may_see(actor)
    every = vault.list()
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
            "verified": sum(1 for manifest in every if manifest.verified and manifest.verified.ok),
            "unreadable": len(vault.damaged()),
            "stored_bytes": sum(manifest.stored_bytes for manifest in every),
        },
    )


def get_backup(actor: Actor, vault: Vault, backup_id: UUID) -> Manifest:
    may_see(actor)
    return vault.get(backup_id)


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
