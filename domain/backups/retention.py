"""Which backups may go."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from domain.backups.manifest import BackupType, Manifest
from domain.backups.standing import is_ahead

KEPT_FULLS = 7


def surplus(manifests: Sequence[Manifest]) -> list[Manifest]:
    """All but the newest seven full backups and what stands on them; children before what they stand on.

    The newest verified full one stays, however many younger ones could not be verified. What is dated ahead of the clock goes first, or it
    would crowd out all that are made from now on.
    """
    newest = sorted(manifests, key=lambda manifest: (not is_ahead(manifest), manifest.snapshot_at), reverse=True)
    fulls = [manifest for manifest in newest if manifest.effective_type is BackupType.FULL]
    kept = {manifest.id for manifest in fulls[:KEPT_FULLS]}
    kept |= {manifest.id for manifest in [full for full in fulls if full.verified and full.verified.ok][:1]}
    parents = {manifest.id: manifest.parent_id for manifest in manifests}
    return [manifest for manifest in newest if beginning(manifest.id, parents) not in kept]


def beginning(backup_id: UUID, parents: dict[UUID, UUID | None]) -> UUID:
    """The full backup that a chain leads back to, or as far back as it can be followed."""
    while (parent := parents.get(backup_id)) is not None:
        backup_id = parent
    return backup_id
