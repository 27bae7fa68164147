"""Where files are kept that people download: a folder, or a bucket. The adapters are in adapters/storage.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


class StorageError(Exception):
    """The storage could not be reached or would not do it; says why, without hosts, paths or keys."""


class FileReplaced(StorageError):
    """It was written anew while it was read."""


@dataclass(frozen=True)
class Space:
    """Bytes of the disk that the files are on, whoever's they are."""

    used: int
    total: int

    @property
    def free(self) -> int:
        return self.total - self.used


class Storage(Protocol):
    """Names are made by the portal ("exports/<job id>.csv"), never taken from a user. Every method may raise StorageError."""

    provider: str

    def save(self, name: str, source: Path) -> None:
        """Keep the file under this name, whole or not at all; the source may be moved away."""
        ...

    def open(self, name: str) -> tuple[Iterator[bytes], int]:
        """The file's content in pieces, and its size in bytes. Raises FileNotFoundError."""
        ...

    def delete(self, name: str) -> None:
        """Remove it, and what a worker that died while keeping it left; nothing happens where it is not there."""
        ...

    def names(self, folder: str, before: datetime) -> Iterator[str]:
        """The files of a folder ("exports") that were kept before that moment, in no order."""
        ...

    def drop_unfinished(self, folder: str, before: datetime) -> int:
        """Remove what was begun in the folder before that moment and never came to its end; says how many it was."""
        ...

    def check(self) -> None:
        """Ask for next to nothing, to see whether it answers."""
        ...

    def space(self) -> Space | None:
        """What there is and what is taken, where that can be known without looking at each file."""
        ...

    def sizes(self) -> Iterator[int]:
        """The size of each file there is, in bytes: as slow as there are many."""
        ...
