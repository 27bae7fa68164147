"""The folder of the archive: a folder for each generation, in it the segments, how far it goes (`alive`), and how it ended (`closed`)."""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.backups.archive.segments import Piece, Segment, joined, named, part, read_piece, write_piece
from adapters.backups.catalog import sync
from adapters.backups.sealing import Key, ending, signing_key
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch
from domain.backups.manifest import signature

FOLDER = "wal"
BEGAN = "%Y%m%dT%H%M%S%f"
NOTE_BYTES = 512
MOST_JOINED = 4_000  # frames: a log of usual size is one file in the end, one of a great transaction stays in pieces


@dataclass(frozen=True)
class Alive:
    """At `at` the database was what `end` frames of the generation made of it; at `beat` the archiver still ran. Microseconds."""

    end: int
    at: int
    beat: int


@dataclass(frozen=True)
class Closed:
    """After `end` frames the last process let go of the database, and its file had this digest."""

    end: int
    at: int
    sha256: str


class Store:
    """`backups/wal`, where the archiver writes and everybody else reads."""

    def __init__(self, backups: Path, key: Key | None):
        self.folder, self.key = backups / FOLDER, key

    def generations(self) -> list[Generation]:
        """The oldest first."""
        if not self.folder.is_dir():
            return []
        return [Generation(path, self.key) for path in sorted(self.folder.iterdir()) if path.is_dir()]

    def newest(self) -> Generation | None:
        return next(reversed(self.generations()), None)

    def begin(self) -> Generation:
        """By its name it is the newest, whatever became of the clock."""
        newest, began = self.newest(), datetime.now(UTC)
        if newest:
            before = datetime.strptime(newest.folder.name.partition("-")[0], BEGAN).replace(tzinfo=UTC)
            began = max(began, before + timedelta(microseconds=1))
        folder = self.folder / f"{began:{BEGAN}}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True, mode=0o700)
        sync(self.folder)
        return Generation(folder, self.key)

    @contextmanager
    def to_itself(self) -> Iterator[bool]:
        """Whether no other process archives; if so, none does meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "archiver.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


class Generation:
    """An unbroken row of segments, unless some were lost."""

    def __init__(self, folder: Path, key: Key | None):
        self.folder, self.key = folder, key

    def segments(self) -> Sequence[Segment]:
        """In their order, and none that a longer one holds as well: whoever joins some removes them after."""
        found = sorted(filter(None, map(named, self.names())), key=lambda segment: (segment.start, -segment.end))
        kept: list[Segment] = []
        for segment in found:
            if not kept or segment.end > kept[-1].end:
                kept.append(segment)
        return kept

    def names(self) -> set[str]:
        """Looked up until twice the same: one look may miss both the segments that are just joined and what they are joined in."""
        found: set[str] = set()
        for _ in range(10):
            before, found = found, {path.name for path in self.folder.iterdir()}
            if found == before:
                break
        return found

    def path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.name}{ending(self.key)}"

    def write(self, piece: Piece) -> None:
        write_piece(self.folder, piece, self.key)

    def read(self, segment: Segment) -> Piece:
        """Also where the archiver has joined it with others since it was listed. Raises BackupCorrupt, BackupKeyMismatch."""
        for _ in range(3):
            with suppress(FileNotFoundError):
                return self.opened(self.path(segment))
            for longer in self.segments():
                if longer.start <= segment.start and segment.end <= longer.end:
                    with suppress(FileNotFoundError):
                        return part(self.opened(self.path(longer)), segment)
        raise BackupCorrupt(f"{self.path(segment).name} is not there.", file=self.path(segment).name)

    def opened(self, path: Path) -> Piece:
        """age cannot tell a file whose beginning is damaged from one of another key; this folder has one key, which signs what is noted."""
        try:
            return read_piece(path, self.key)
        except BackupKeyMismatch:
            if self.alive is None:
                raise
            raise BackupCorrupt(f"{path.name} cannot be opened: a disk or somebody changed its beginning.", file=path.name) from None

    def join(self, salts: str) -> None:
        """Make fewer files of the segments of a log; across a pause they stay apart, since their names tell of it."""
        of_log = [segment for segment in self.segments() if segment.salts == salts]
        for group in groups(of_log):
            if len(group) > 1:
                whole = joined([self.read(segment) for segment in group])
                self.write(whole)
                for segment in group:
                    self.path(segment).unlink(missing_ok=True)

    def set_aside(self, segment: Segment) -> None:
        """Take a damaged one out of the row, so that nobody counts on it; it is kept, should somebody know how to mend it."""
        path = self.path(segment)
        path.rename(path.with_name(f"damaged-{path.name}"))
        sync(self.folder)

    def remove_rests(self) -> None:
        for path in self.folder.glob(".*.wal*"):
            path.unlink(missing_ok=True)

    def remove_before(self, start: int) -> None:
        """Remove what is of no use to a base that needs the log which begins after `start` frames."""
        for path in self.folder.iterdir():
            segment = named(path.name)
            if segment and segment.end <= start:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def note_alive(self, alive: Alive) -> None:
        """In place and not forced to disk: four times a second, and lost it only means that less is promised."""
        line = self.signed(vars(alive)).ljust(NOTE_BYTES)
        descriptor = os.open(self.folder / "alive", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, line, 0)
        finally:
            os.close(descriptor)

    @property
    def alive(self) -> Alive | None:
        for _ in range(3):  # one that is just being written over does not bear its signature
            if facts := self.noted("alive"):
                return Alive(**facts)
        return None

    @property
    def last_seen(self) -> int:
        """The last time that it knows of."""
        alive = self.alive
        return max([segment.last for segment in self.segments()] + ([alive.at] if alive else []), default=0)

    def note_closed(self, closed: Closed) -> None:
        self.note("closed", vars(closed))

    @property
    def closed(self) -> Closed | None:
        facts = self.noted("closed")
        return Closed(**facts) if facts else None

    def note_set_back(self, at: int) -> None:
        """The clock was ahead when it ended, and was set back to this: whatever comes after that is another generation's."""
        self.note("set-back", {"at": at})

    @property
    def set_back(self) -> int | None:
        facts = self.noted("set-back")
        return int(facts["at"]) if facts else None

    def note(self, name: str, facts: dict[str, Any]) -> None:
        with (self.folder / name).open("wb") as file:
            file.write(self.signed(facts))
            file.flush()
            os.fsync(file.fileno())
        sync(self.folder)

    def signed(self, facts: dict[str, Any]) -> bytes:
        facts = facts | {"generation": self.folder.name}
        return json.dumps(facts | {"signature": signature(facts, signing_key(self.key))}).encode() + b"\n"

    def noted(self, name: str) -> dict[str, Any] | None:
        try:
            facts = json.loads((self.folder / name).read_bytes())
            said = facts.pop("signature")
            if hmac.compare_digest(said, signature(facts, signing_key(self.key))) and facts.pop("generation") == self.folder.name:
                return dict(facts)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass
        return None


def groups(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    group: list[Segment] = []
    for segment in segments:
        frames = segment.end - group[0].start + 1 if group else 0
        if group and (segment.start != group[-1].end + 1 or segment.after_a_pause or frames > MOST_JOINED):
            yield group
            group = []
        group.append(segment)
    if group:
        yield group
