"""A local folder as storage."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from config import Config
from domain.storage import Storage, StorageError

PIECE = 256 * 1024
NAME = re.compile(r"[a-z]+/[A-Za-z0-9-]+(\.[a-z0-9]+)?")


def make_storage(config: Config) -> Storage:
    return FolderStorage(config.data_dir / "storage")


class FolderStorage:
    provider = "local"

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise StorageError(f"{name!r} is no name of a stored file")
        return self.folder / name

    def save(self, name: str, source: Path) -> None:
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as written:
                os.fsync(written.fileno())
            source.replace(path)
        except OSError as error:
            raise StorageError(f"The file could not be kept: {error.strerror}") from None

    def open(self, name: str) -> tuple[Iterator[bytes], int]:
        path = self.path(name)
        size = path.stat().st_size

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece

        return pieces(), size

    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
