"""A segment: frames of the log in a file, compressed and encrypted like the files of a backup, its name saying which and when.

Inside is one line of JSON, signed, then the log's header and the frames as SQLite wrote them, with SQLite's own checksums.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import astuple, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from adapters.backups.archive import wal
from adapters.backups.archive.moments import LONGEST_LAG
from adapters.backups.catalog import sync
from adapters.backups.sealing import Key, ending, seal, signing_key, unseal
from domain.backups.errors import BackupCorrupt
from domain.backups.manifest import StoredFile, signature

NAME = re.compile(r"(\d{12})-(\d{12})-([0-9a-f]{16})-(\d{7})-(\d{16})-(\d{16})-(\d{16})\.wal\.zst(\.age)?")


class Mark(NamedTuple):
    """`end` frames of the generation were committed by `seen`, when somebody had looked; at `since`, the look before, it was fewer."""

    end: int
    since: int
    seen: int


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `end` of a generation; the first is number `frame` of its own log. `since`, `first` and `last` are of its marks,
    zero where it has none: then it ends in the middle of a transaction."""

    start: int
    end: int
    salts: str
    frame: int
    since: int
    first: int
    last: int

    @property
    def origin(self) -> int:
        """How many frames of the generation are in earlier logs."""
        return self.start - self.frame

    @property
    def marked(self) -> bool:
        return self.last > 0

    @property
    def after_a_pause(self) -> bool:
        return self.marked and self.first - self.since > LONGEST_LAG

    @property
    def name(self) -> str:
        times = f"{self.since:016}-{self.first:016}-{self.last:016}"
        return f"{self.start:012}-{self.end:012}-{self.salts}-{self.frame:07}-{times}.wal"


def named(name: str) -> Segment | None:
    if not (found := NAME.fullmatch(name)):
        return None
    start, end, salts, *rest, _ending = found.groups()
    return Segment(int(start), int(end), salts, *(int(each) for each in rest))


@dataclass(frozen=True)
class Piece:
    """What is in a segment."""

    segment: Segment
    log_header: bytes
    frames: bytes
    marks: tuple[Mark, ...]

    @property
    def frame_bytes(self) -> int:
        return wal.frame_bytes(wal.page_size_of(self.log_header))

    def checksum_at(self, end: int) -> str:
        """That of frame `end` of the generation."""
        at = (end - self.segment.start) * self.frame_bytes
        return wal.checksum_of(self.frames[at : at + wal.FRAME_HEADER])


def cut(origin: int, frame: int, log_header: bytes, frames: bytes, marks: tuple[Mark, ...]) -> Piece:
    """The frames from number `frame` of a log as a piece of the archive."""
    start, count = origin + frame, len(frames) // wal.frame_bytes(wal.page_size_of(log_header))
    times = (marks[0].since, marks[0].seen, marks[-1].seen) if marks else (0, 0, 0)
    return Piece(Segment(start, start + count - 1, wal.salts_of(log_header), frame, *times), log_header, frames, marks)


def joined(pieces: list[Piece]) -> Piece:
    first = pieces[0]
    frames, marks = b"".join(piece.frames for piece in pieces), tuple(mark for piece in pieces for mark in piece.marks)
    return cut(first.segment.origin, first.segment.frame, first.log_header, frames, marks)


def part(piece: Piece, segment: Segment) -> Piece:
    """What a segment held before it was joined with others."""
    begin, end = ((number - piece.segment.start) * piece.frame_bytes for number in (segment.start, segment.end + 1))
    marks = tuple(mark for mark in piece.marks if segment.start <= mark.end <= segment.end)
    return cut(segment.origin, segment.frame, piece.log_header, piece.frames[begin:end], marks)


def write_piece(folder: Path, piece: Piece, key: Key | None) -> None:
    """Store the piece; when this returns it is whole and on disk."""
    body = piece.log_header + piece.frames
    facts: dict[str, Any] = {
        "generation": folder.name,
        "segment": list(astuple(piece.segment)),
        "marks": [list(mark) for mark in piece.marks],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    line = json.dumps({**facts, "signature": signature(facts, signing_key(key))}).encode() + b"\n"
    draft = f".{piece.segment.name}"
    (folder / f"{draft}{ending(key)}").unlink(missing_ok=True)
    stored = seal(BytesIO(line + body), folder, draft, key).stored
    (folder / stored.name).rename(folder / stored.name[1:])
    sync(folder)


def read_piece(path: Path, key: Key | None) -> Piece:
    """What is in the file. Raises BackupCorrupt unless it is what was written under that name, in that generation."""
    content = BytesIO()
    unseal(path.parent, StoredFile(path.name, 0, ""), content, key)
    line, _, body = content.getvalue().partition(b"\n")
    try:
        facts = json.loads(line)
        signed = facts.pop("signature")
        whole = hmac.compare_digest(str(signed), signature(facts, signing_key(key)))
    except (ValueError, KeyError, AttributeError):
        whole = False
    if not whole or facts["sha256"] != hashlib.sha256(body).hexdigest():
        raise BackupCorrupt(f"{path.name} is not what was stored: a disk or somebody changed it.", file=path.name)
    segment = Segment(*facts["segment"])
    if segment != named(path.name) or facts["generation"] != path.parent.name:
        raise BackupCorrupt(f"{path.name} was renamed: it is another piece of the archive.", file=path.name)
    marks = tuple(Mark(*mark) for mark in facts["marks"])
    return Piece(segment, body[: wal.LOG_HEADER], body[wal.LOG_HEADER :], marks)
