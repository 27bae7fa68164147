"""What exchanging the live data takes of each engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from domain.restores.carrying import Changes


@dataclass(frozen=True)
class Reading:
    """The live data at one moment. `mark` is for `swap`: what may have changed since."""

    connection: Connection
    mark: int


class Late(Protocol):
    """What comes last, in transactions that the caller ends."""

    def carry(self, live: Connection, staged: Connection, changes: Changes | None) -> None:
        """Carry what has changed since it was carried before."""

    def finish(self, staged: Connection) -> None:
        """Enter the restore in the data that are about to become live."""


class Swap(ABC):
    @abstractmethod
    def make_stage(self, restore_id: UUID) -> str:
        """The URL of an empty place for what is to become live; what an earlier try left there is gone."""

    @abstractmethod
    def stage_previous(self, restore_id: UUID, undone_id: UUID) -> str:
        """The same with a copy of what that restore replaced: whatever becomes of this one, what was kept stays as it was for the next."""

    @abstractmethod
    def drop_stage(self, restore_id: UUID) -> None: ...

    @abstractmethod
    def reading(self) -> AbstractContextManager[Reading]: ...

    @abstractmethod
    def comparing(self, url: str, reading: Reading, staged: Connection) -> AbstractContextManager[Changes]:
        """Where the staged data differ from the live ones, as far as they are committed."""

    @abstractmethod
    def swap(self, restore_id: UUID, url: str, mark: int, late: Late, *, whole: bool) -> int:
        """Put what is at the URL in the live data's place, in one step that is either done or not; answers for how many milliseconds
        nobody could write. Nothing of the database stays that is not known to be `whole`. Raises SwapBlocked, and then nothing has
        changed."""

    @abstractmethod
    def previous_url(self, restore_id: UUID) -> str | None:
        """Where the data are that a restore replaced; None where they are not kept."""

    @abstractmethod
    def drop_previous(self, restore_id: UUID) -> None: ...

    @abstractmethod
    def bytes_needed(self) -> int:
        """What a restore takes up in the folder of backups at most."""


NAMED_AT_ONCE = 5000


def named(column: ColumnElement[Any], ids: Iterable[Any]) -> Iterator[ColumnElement[bool]]:
    """That the column is one of these, in conditions of which none is too long."""
    rest = iter(ids)
    while some := list(islice(rest, NAMED_AT_ONCE)):
        yield column.in_(some)
