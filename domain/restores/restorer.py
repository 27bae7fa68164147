"""What the domain asks of whatever puts a backup in place of the live data; `adapters/restores` answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.backups.manifest import Manifest
from domain.backups.vault import Progress


@dataclass(frozen=True)
class Order:
    """A restore that somebody asks for. `moment` None: the backup's own. For a rollback `undone_id` names what it takes back. Without
    `uploads` the files of the storage stay as they are."""

    id: UUID
    requested_by: str
    requested_by_id: UUID | None = None
    backup_id: UUID | None = None
    moment: datetime | None = None
    undone_id: UUID | None = None
    uploads: bool = True


@dataclass(frozen=True)
class Side:
    """Where a restore stood whose process died: past the swap or before it, and at which step."""

    restore_id: UUID
    swapped: bool
    step: str


class Restorer(Protocol):
    def check(self, manifest: Manifest, moment: datetime | None) -> None:
        """Raise what speaks against it before anything is begun: key, files, engine, schema, moment, space, another operation."""

    def restore(self, order: Order, progress: Progress, past_return: Callable[[], None]) -> None:
        """Put the backup in place of the live data. Before the swap nothing live has changed, so whatever stops it leaves all as it was;
        `past_return` is called right before the swap and may raise for the last time."""

    def roll_back(self, order: Order, progress: Progress, past_return: Callable[[], None]) -> None:
        """The same with the data that a restore replaced. Raises NothingToRollBack."""

    def was_begun(self, restore_id: UUID) -> bool:
        """Whether this restore was ever begun, whatever came of it."""

    def recover(self) -> Sequence[Side]:
        """Clean up after restores whose process died; answers on which side of the swap each stood. One that was past it is ended."""

    def can_roll_back(self, restore_id: UUID) -> bool:
        """Whether what it replaced is kept. Raises FolderUnusable, EngineUnavailable where that cannot be told."""

    def forget_old(self) -> Sequence[UUID]:
        """Remove replaced data that has been kept long enough; answers of which restores."""
