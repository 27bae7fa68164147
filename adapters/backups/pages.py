"""A SQLite database file as the pages it consists of: which changed since another backup, and how to put it together again.

Pages are told apart by BLAKE2b-128 of each, keyed so that the hashes say nothing about the pages to whoever has only them. What an
incremental backup holds is a row of (page number, page), numbers from 1 as SQLite counts them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from domain.backups.errors import BackupCorrupt

HASH_BYTES = 16
NUMBER = struct.Struct(">I")
READ_AT_ONCE = 256  # pages

Tick = Callable[[int], None]


def page_hash(page: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(page, digest_size=HASH_BYTES, key=key).digest()


def pages_of(file: IO[bytes], page_size: int) -> Iterator[bytes]:
    while piece := file.read(page_size * READ_AT_ONCE):
        for at in range(0, len(piece), page_size):
            yield piece[at : at + page_size]


def hash_pages(snapshot: Path, page_size: int, key: bytes, target: Path, tick: Tick) -> str:
    """Write the hash of each page to the target; answers the SHA-256 of the whole snapshot."""
    whole = hashlib.sha256()
    with snapshot.open("rb") as file, target.open("wb") as hashes:
        for number, page in enumerate(pages_of(file, page_size), 1):
            whole.update(page)
            hashes.write(page_hash(page, key))
            if number % READ_AT_ONCE == 0:
                tick(number)
    return whole.hexdigest()


class ChangedPages:
    """Reads like a file: those pages of the snapshot whose hash is not what it was in the parent, each after its number."""

    def __init__(self, snapshot: IO[bytes], page_size: int, hashes: IO[bytes], before: IO[bytes]):
        self.snapshot, self.page_size, self.hashes, self.before = snapshot, page_size, hashes, before
        self.number = self.changed = 0
        self.rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self.rest:
            page_hash = self.hashes.read(HASH_BYTES)
            if not page_hash:
                return b""
            self.number += 1
            if page_hash != self.before.read(HASH_BYTES):
                self.snapshot.seek((self.number - 1) * self.page_size)
                self.rest = NUMBER.pack(self.number) + self.snapshot.read(self.page_size)
                self.changed += 1
        piece, self.rest = (self.rest, b"") if size < 0 else (self.rest[:size], self.rest[size:])
        return piece


class PageWriter:
    """Writes like a file: takes such a row of pages, in whatever pieces, and puts each in its place."""

    def __init__(self, file: IO[bytes], page_size: int):
        self.file, self.page_size = file, page_size
        self.rest = b""

    def write(self, piece: bytes) -> int:
        row = NUMBER.size + self.page_size
        self.rest += piece
        whole = len(self.rest) - len(self.rest) % row
        for at in range(0, whole, row):
            (number,) = NUMBER.unpack_from(self.rest, at)
            self.file.seek((number - 1) * self.page_size)
            self.file.write(self.rest[at + NUMBER.size : at + row])
        self.rest = self.rest[whole:]
        return len(piece)

    def flush(self) -> None:
        pass

    def end(self, pages: int) -> None:
        """All has been written: cut the file to its number of pages, which may be fewer than before."""
        if self.rest:
            raise BackupCorrupt("The changed pages end in the middle of one.")
        self.file.truncate(pages * self.page_size)
        self.file.flush()
        os.fsync(self.file.fileno())
