"""A SQLite database file as the pages it consists of: which changed since another backup, and how to put it together again.

Pages are told apart by BLAKE2b-128 of each, keyed so that the hashes say nothing about the pages to whoever has only them. What an
incremental backup holds is a row of (page number, page), numbers from 1 as SQLite counts them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from typing import IO

from domain.backups.errors import BackupCorrupt

HASH_BYTES = 16
NUMBER = struct.Struct(">I")
READ_AT_ONCE = 256  # pages

Tick = Callable[[int], None]


def page_hash(page: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(page, digest_size=HASH_BYTES, key=key).digest()


class HashedPages:
    """Reads like a file: the snapshot as it is. The hash of each page is written aside as it passes, so that all is read once."""

    def __init__(self, snapshot: IO[bytes], page_size: int, key: bytes, hashes: IO[bytes]):
        self.snapshot, self.page_size, self.key, self.hashes = snapshot, page_size, key, hashes

    def read(self, size: int = -1) -> bytes:
        piece = self.snapshot.read(max(size // self.page_size, 1) * self.page_size)
        self.hashes.write(b"".join(page_hash(page, self.key) for page in pages_of(piece, self.page_size)))
        return piece


class ChangedPages:
    """Reads like a file: those pages of the snapshot whose hash is not what it was in the parent, each after its number. The hash of each
    is written aside; `whole` has seen all of the snapshot once nothing more is read."""

    def __init__(self, snapshot: IO[bytes], page_size: int, key: bytes, hashes: IO[bytes], before: IO[bytes], tick: Tick):
        self.snapshot, self.page_size, self.key, self.hashes, self.before, self.tick = snapshot, page_size, key, hashes, before, tick
        self.whole = hashlib.sha256()
        self.number = 0
        self.rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self.rest:
            piece = self.snapshot.read(self.page_size * READ_AT_ONCE)
            if not piece:
                return b""
            self.whole.update(piece)
            self.rest = b"".join(self.changed(piece))
            self.tick(self.number * self.page_size)
        piece, self.rest = (self.rest, b"") if size < 0 else (self.rest[:size], self.rest[size:])
        return piece

    def changed(self, piece: bytes) -> Iterator[bytes]:
        found = [page_hash(page, self.key) for page in pages_of(piece, self.page_size)]
        self.hashes.write(b"".join(found))
        before = self.before.read(HASH_BYTES * len(found))
        for place, each in enumerate(found):
            self.number += 1
            if each != before[place * HASH_BYTES : (place + 1) * HASH_BYTES]:
                yield NUMBER.pack(self.number) + piece[place * self.page_size : (place + 1) * self.page_size]


def pages_of(piece: bytes, page_size: int) -> Iterator[bytes]:
    return (piece[at : at + page_size] for at in range(0, len(piece), page_size))


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
