"""Which backups may go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import islice
from uuid import UUID

from domain.backups.manifest import BackupType, Manifest
from domain.backups.standing import is_ahead

KEPT_FULLS = 7


def surplus(manifests: Sequence[Manifest]) -> list[Manifest]:
    """All but the newest seven full backups and what stands on them; children before what they stand on.

    The newest verified one of each of the last seven days that have one stays as well: however many could not be verified since, and
    however many were made on a bad day, when each restore that is tried makes two. What is dated ahead of the clock goes first, or it would
    crowd out all that are made from now on.
    """
    newest = sorted(manifests, key=lambda manifest: (not is_ahead(manifest), manifest.snapshot_at), reverse=True)
    fulls = [manifest for manifest in newest if manifest.effective_type is BackupType.FULL]
    kept = {manifest.id for manifest in fulls[:KEPT_FULLS]}
    days: dict[date, UUID] = {}
    for full in fulls:
        if full.verified and full.verified.ok:
            days.setdefault(full.snapshot_at.date(), full.id)
    kept.update(islice(days.values(), KEPT_FULLS))
    parents = {manifest.id: manifest.parent_id for manifest in manifests}
    return [manifest for manifest in newest if beginning(manifest.id, parents) not in kept]


def beginning(backup_id: UUID, parents: dict[UUID, UUID | None]) -> UUID:
    """The full backup that a chain leads back to, or as far back as it can be followed."""
    while (parent := parents.get(backup_id)) is not None:
        backup_id = parent
    return backup_id
