"""Going on from a backup: the log is written again beside the database, and SQLite itself takes it in, checking each frame."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path

from adapters.backups.archive.chain import Base, position_of
from adapters.backups.archive.segments import Piece, Segment
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch
from domain.backups.vault import Progress
from domain.db import address_of


def segments_between(base: Base, end: int) -> list[Segment]:
    """From the beginning of the log that the base stands in: its frames are taken in once more, which changes nothing, so that all
    checksums of the log can be checked."""
    position = position_of(base.manifest)
    begins = base.run.origins[position.salts] if position else base.place
    return [segment for segment in base.run.segments if begins < segment.start <= end]


def check_segments(base: Base, end: int) -> None:
    """Raises BackupCorrupt, BackupKeyMismatch unless each is what was stored, and the base is one of this row."""
    for segment in segments_between(base, end):
        check_base(base, base.run.generation.read(segment))


def set_damaged_aside(base: Base) -> tuple[int, list[Segment]]:
    """Read all that goes on from the base; answers how many segments are whole, and those that were not."""
    whole, damaged = 0, []
    for segment in segments_between(base, base.run.end):
        try:
            base.run.generation.read(segment)
            whole += 1
        except BackupCorrupt:
            with suppress(FileNotFoundError):
                base.run.generation.set_aside(segment)
            damaged.append(segment)
        except BackupKeyMismatch:  # whoever has that key reads it
            continue
    return whole, damaged


def check_base(base: Base, piece: Piece) -> None:
    position = position_of(base.manifest)
    if position and piece.segment.start <= base.place <= piece.segment.end and piece.checksum_at(base.place) != position.checksum:
        raise BackupCorrupt("The archive has another history than the backup: neither can be trusted to go on from the other.")


def go_on(base: Base, end: int, database: Path, progress: Progress) -> None:
    """Bring the database, which is as the base has it, to where it was after `end` frames of the generation."""
    if end <= base.place:
        return
    for _, of_log in groupby(segments_between(base, end), key=lambda segment: segment.salts):
        segments = list(of_log)
        progress(92 + 6 * max(segments[0].start - base.place, 0) / (end - base.place), "Going on from the backup")
        replay(pieces(base, segments), end, database)


def pieces(base: Base, segments: list[Segment]) -> Iterator[Piece]:
    for segment in segments:
        piece = base.run.generation.read(segment)
        check_base(base, piece)
        yield piece


def replay(log: Iterator[Piece], end: int, database: Path) -> None:
    frames = 0
    with Path(f"{database}-wal").open("wb") as file:
        for piece in log:
            count = min(piece.segment.end, end) - piece.segment.start + 1
            if frames == 0:
                file.write(piece.log_header)
            file.write(piece.frames[: count * piece.frame_bytes])
            frames += count
    with closing(sqlite3.connect(address_of(database, "mode=rw"), uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # who made the file sees to it that it is on disk, in the end
        busy, seen, taken_in = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if (busy, seen, taken_in) != (0, frames, frames):
        message = f"Of {frames} frames of the log SQLite took in {max(taken_in, 0)}: what was archived is not whole."
        raise BackupCorrupt(message)
