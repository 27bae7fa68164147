"""What SQLite's write-ahead log and its index look like from outside: https://www.sqlite.org/walformat.html"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

LOG_HEADER = 32
FRAME_HEADER = 24
SALTS = slice(8, 16)
CHECKSUM = slice(16, 24)

INDEX_BYTES = 136
INDEX_HEADER = struct.Struct("=IIIBBHIIII8s8x")
BACKFILLED = struct.Struct("=I")
BACKFILLED_AT, ATTEMPTED_AT = 96, 128


@dataclass(frozen=True)
class Position:
    """A place in the log: after so many frames of the log with these salts, the last of which has this checksum."""

    salts: str
    frame: int
    checksum: str

    def plain(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class Index:
    """What every connection agrees on: how far the log is committed, and how much of it is in the database file already."""

    position: Position
    page_size: int
    backfilled: int
    attempted: int

    @property
    def all_in_file(self) -> bool:
        return self.backfilled == self.position.frame


def read_index(piece: bytes) -> Index | None:
    """What the beginning of the -shm file says; None while a writer changes it, or where there is no log."""
    if len(piece) < INDEX_BYTES or piece[:48] != piece[48:96]:
        return None
    _version, _, _change, filled, _, page_size, frames, _pages, first, second, salts = INDEX_HEADER.unpack_from(piece)
    if not filled:
        return None
    (backfilled,) = BACKFILLED.unpack_from(piece, BACKFILLED_AT)
    (attempted,) = BACKFILLED.unpack_from(piece, ATTEMPTED_AT)
    position = Position(salts.hex(), frames, struct.pack(">II", first, second).hex())
    return Index(position, page_size & 0xFE00 | (page_size & 1) << 16, backfilled, attempted)


def frame_bytes(page_size: int) -> int:
    return FRAME_HEADER + page_size


def page_size_of(log_header: bytes) -> int:
    return int.from_bytes(log_header[8:12], "big")


def salts_of(log_header: bytes) -> str:
    return log_header[16:24].hex()


def all_of_this_log(frames: bytes, size: int, salts: str) -> bool:
    wanted = bytes.fromhex(salts)
    return len(frames) % size == 0 and all(frames[at + SALTS.start : at + SALTS.stop] == wanted for at in range(0, len(frames), size))


def checksum_of(frame: bytes) -> str:
    return frame[CHECKSUM].hex()
