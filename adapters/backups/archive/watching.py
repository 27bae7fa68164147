"""Looking at the log, copying what is new, and having SQLite begin it anew when it is long."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

from adapters.backups.archive import wal
from adapters.backups.archive.hold import Checkpoint, Hold
from adapters.backups.archive.moments import LONGEST_LAG, micros_now
from adapters.backups.archive.segments import Mark, Piece, cut
from adapters.backups.archive.store import Alive, Closed, Generation, Store
from domain import gate
from domain.errors import DomainError

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
LONG_LOG = 3_400_000
"""Bytes; SQLite's own connections would begin to copy the log into the database at each commit from 1000 pages on."""
FEW_FRAMES = 1000
PATIENCE = 0.05
PATIENCE_AT_FIRST = 1.0
SPACIOUS_LOG = 64_000_000
AT_ONCE = 4_000  # frames in one segment, at most
SEGMENTS_OF_A_LOG = 60
LINGER_SECONDS = 25.0
READ_AT_ONCE = 1 << 20
SPARED = 256_000_000
"""Bytes of BACKUP_DIR's disk that are left to others: by default the database is on the same one."""


class LostTrack(Exception):
    """The log is not what it must be if the archiver held it: whatever that was, what was copied is a row that ends here."""


def close_all(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)


@contextmanager
def watching(database: Path, store: Store) -> Iterator[Watch]:
    """Raises sqlite3.Error, OSError, LostTrack, here or later: then begin again. Where the name is a link, the log is beside the file."""
    with ExitStack() as opened:
        # What SQLite has locked is unlocked when any descriptor of this process to the same file is closed: so these are closed last.
        descriptors: list[int] = []
        opened.callback(close_all, descriptors)
        hold = Hold(database)
        opened.callback(hold.close)
        for ending in ("", "-shm", "-wal"):
            descriptors.append(os.open(f"{database.resolve()}{ending}", os.O_RDONLY | os.O_CLOEXEC))
        beside = opened.enter_context(ThreadPoolExecutor(1, "checkpoint"))
        yield Watch(database, store, hold, beside, *descriptors)


class Watch:
    """One hold on the database, from taking up the archive where it stands until letting go."""

    def __init__(self, database: Path, store: Store, hold: Hold, beside: Executor, file: int, index: int, log_file: int):
        self.database, self.store, self.hold, self.beside = database, store, hold, beside
        self.file, self.index, self.log_file = file, index, log_file
        self.origin = 0  # frames of the generation in earlier logs
        self.salts = ""
        self.end = self.at = self.since = self.seen = 0  # what is archived: its last frame and its moment; the last two looks
        self.taken = self.observed = 0  # frames of this log: copied, and known to be committed
        self.marks: list[Mark] = []  # of what is observed and not taken
        self.segments_of_log = 0
        self.in_file = False  # whether the hold reads in the database file: then nobody waits for it who would begin the log anew
        self.finished: str | None = None
        self.long_checkpoint: Future[Checkpoint] | None = None
        self.generation = self.take_up()

    def run(self, stopping: Event) -> None:
        """Until told to stop, and then until nobody else has the database open, so that the last they wrote is in the archive."""
        while not stopping.is_set():
            self.tick()
            stopping.wait(TICK_SECONDS)
        deadline = time.monotonic() + LINGER_SECONDS
        while self.others_have_it_open() and time.monotonic() < deadline:
            self.tick()
            time.sleep(TICK_SECONDS)
        self.tick()
        self.close()

    def tick(self) -> None:
        if not self.same_file():
            raise LostTrack(f"{self.database} is another file than before")
        index = self.look()
        if self.is_new(index) and index.all_in_file and not self.in_file:
            self.take_what_was_there(index)
        elif self.is_new(index) or (index.all_in_file and not self.in_file):
            self.take_new(index)
        else:
            self.observe()
        if self.observed * self.size > LONG_LOG:
            self.have_it_begin_anew()
        self.beat()
        self.tidy()

    def take_new(self, index: wal.Index) -> None:
        with self.hold.renewed():
            self.in_file = index.all_in_file and self.look().position == index.position
            for piece in self.take_all():
                self.write(piece)

    def take_what_was_there(self, index: wal.Index) -> None:
        """Of a log that was all in the database file before it was held: the hold does not keep it, so writers wait until it is copied. Who
        wrote so much that they would wait for long may begin it anew, and the archive with it."""
        with ExitStack() as waiting:
            if (index.position.frame - self.taken) * self.size <= SPACIOUS_LOG:
                waiting.enter_context(self.hold.writers_waiting(PATIENCE_AT_FIRST))
            self.take_new(index)

    # -- looking --

    def look(self) -> wal.Index:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if index := wal.read_index(os.pread(self.index, wal.INDEX_BYTES, 0)):
                return index
            time.sleep(0.0005)
        raise LostTrack("the index of the log cannot be read")

    def is_new(self, index: wal.Index) -> bool:
        position = index.position
        return position.frame > 0 and (position.salts != self.salts or position.frame > self.taken)

    def observe(self) -> None:
        """Note what is committed, and that it was by now."""
        before = micros_now()
        self.note(self.look(), before)

    def note(self, index: wal.Index, before: int) -> None:
        """`before`: the look began then. Whoever is kept waiting between that and now knows of nothing that came meanwhile."""
        moment = micros_now()
        if is_ahead(self.seen, moment):
            raise LostTrack("the clock was set back")
        before, seen = max(before, self.since), max(moment, self.seen)
        position = index.position
        if position.frame and position.salts != self.salts:
            self.next_log(index)
        if position.frame > self.observed:
            self.observed = position.frame
            self.marks.append(Mark(self.origin + self.observed, self.since, seen))
        elif position.frame and position.frame < self.observed:
            raise LostTrack("the log is shorter than it was")
        self.since, self.seen = before, seen
        if self.taken == self.observed:
            self.at = max(self.at, before)

    def next_log(self, index: wal.Index) -> None:
        if self.taken != self.observed:
            raise LostTrack("the log began anew before all of it was copied")
        self.finished = self.salts or None
        self.origin += self.taken
        self.taken = self.observed = self.segments_of_log = 0
        self.salts, self.size = index.position.salts, wal.frame_bytes(index.page_size)

    # -- copying --

    def take_all(self) -> Iterator[Piece]:
        """What is committed by now; while that takes its time, what comes meanwhile is noted with its own time."""
        self.observe()
        goal = self.observed
        while self.taken < goal:
            yield self.take()
            self.observe()

    def take(self) -> Piece:
        """The next frames: up to the last mark among them, or as many as are copied at once if a great transaction has more."""
        most = self.origin + self.taken + AT_ONCE
        marks = tuple(mark for mark in self.marks if mark.end <= most)
        end = marks[-1].end if marks else most
        count = end - self.origin - self.taken
        header = os.pread(self.log_file, wal.LOG_HEADER, 0)
        frames = read_all(self.log_file, count * self.size, wal.LOG_HEADER + self.taken * self.size)
        if wal.salts_of(header) != self.salts or not wal.all_of_this_log(frames, self.size, self.salts):
            raise LostTrack("the log does not hold the frames that its index speaks of")
        piece = cut(self.origin, self.taken + 1, header, frames, marks)
        self.taken += count
        del self.marks[: len(marks)]
        return piece

    def write(self, piece: Piece) -> None:
        if shutil.disk_usage(self.generation.folder).free < SPARED:
            raise OSError(errno.ENOSPC, f"less than {SPARED // 1_000_000} MB of space are left in BACKUP_DIR")
        self.generation.write(piece)
        self.segments_of_log += 1
        if piece.marks:
            self.end, self.at = piece.marks[-1].end, max(self.at, piece.marks[-1].since)
        self.beat()

    def beat(self) -> None:
        self.generation.note_alive(Alive(self.end, self.at, micros_now()))

    def tidy(self) -> None:
        """Few files rather than many: one for a log that is finished."""
        salts = self.finished or (self.salts if self.segments_of_log > SEGMENTS_OF_A_LOG else None)
        if salts is None:
            return
        try:
            self.generation.join(salts)
        except (OSError, DomainError) as error:  # what is in many files is as good
            log.warning("segments stay apart: %s", error)
        if salts == self.finished:
            self.finished = None
        else:
            self.segments_of_log = 1

    # -- having the log begin anew --

    def have_it_begin_anew(self) -> bool:
        """Bring all of the log into the database file, so that the next writer begins it anew. Most of it while writers go on; they wait
        for the last few pages, and not for the archive: these are kept in memory until they are let go on."""
        done = self.checkpoint()
        if done is None or done.frames - done.backfilled > FEW_FRAMES or gate.is_shut(str(self.database)):
            return False  # somebody reads an old state, or writes very much, or puts other contents into the database: later
        pieces: list[Piece] = []
        patience = PATIENCE * max(1, self.observed * self.size / LONG_LOG)
        with self.hold.writers_waiting(min(patience, 5)) as waiting:
            if not waiting or self.look().position.frame - self.taken > FEW_FRAMES:
                return False
            with self.hold.renewed():
                pieces.extend(self.take_all())
            done = self.hold.checkpoint()
            with self.hold.renewed():  # which reads in the file from now on, if all is there
                pass
        self.in_file = done.frames == done.backfilled
        if os.fstat(self.log_file).st_size > SPACIOUS_LOG:
            self.hold.checkpoint("TRUNCATE")
        for piece in pieces:
            self.write(piece)
        return self.in_file

    def checkpoint(self) -> Checkpoint | None:
        """One that takes seconds runs beside the looking, and answers None until it is done."""
        if self.long_checkpoint is None:
            if self.observed * self.size < SPACIOUS_LOG:
                return self.hold.checkpoint()
            self.long_checkpoint = self.beside.submit(self.hold.checkpoint)
        if not self.long_checkpoint.done():
            return None
        done, self.long_checkpoint = self.long_checkpoint.result(), None
        return done

    # -- where to go on, and how to end --

    def take_up(self) -> Generation:
        """The generation that goes on here: the newest, if nothing can have been written since that is not in the log now."""
        before = micros_now()
        index = self.look()
        self.size = wal.frame_bytes(index.page_size)
        newest = self.store.newest()
        if newest and self.goes_on(newest, index, before):
            newest.remove_rests()
            log.info("the archive goes on where it ended")
            return newest
        generation = newest if newest and not newest.segments() else self.store.begin()
        self.end, self.at, self.since, self.seen = 0, before, 0, 0  # of what was before this look nothing is known
        log.info("a new archive begins: %s", generation.folder.name)
        return generation

    def goes_on(self, generation: Generation, index: wal.Index, before: int) -> bool:
        if is_ahead(generation.last_seen, before):
            log.warning("the clock was set back: the archive that was is not gone on with")
            if generation.segments():  # else it is as good as new
                generation.note_set_back(before)
            return False
        try:
            return self.same_log(generation, index, before) or self.same_database(generation)
        except DomainError as error:
            log.warning("the archive that was cannot be gone on from: %s", error.message)
            return False

    def same_log(self, generation: Generation, index: wal.Index, before: int) -> bool:
        """Whether the log is still the one whose frames were copied last: then whatever is missing is in it."""
        segments = generation.segments()
        if not segments or segments[-1].salts != index.position.salts:
            return False
        last = segments[-1]
        taken = last.end - last.origin
        frame = os.pread(self.log_file, wal.FRAME_HEADER, wal.LOG_HEADER + (taken - 1) * self.size)
        if index.position.frame < taken or wal.checksum_of(frame) != generation.read(last).checksum_at(last.end):
            return False
        self.origin, self.salts, self.taken, self.observed = last.origin, last.salts, taken, taken
        self.go_on_after(generation)
        self.note(index, before)  # so that it is missed, should the log begin anew before it is copied
        return True

    def same_database(self, generation: Generation) -> bool:
        """Whether the database is as the archiver left it when it was the last to let go: then the log that is there now is the next."""
        closed, segments = generation.closed, generation.segments()
        if closed is None or closed.end != (segments[-1].end if segments else 0):
            return False
        if digest(self.file) != closed.sha256 or (index := self.look()).backfilled or index.attempted:
            return False
        self.origin = closed.end
        self.go_on_after(generation)
        return True

    def go_on_after(self, generation: Generation) -> None:
        marked = [segment for segment in generation.segments() if segment.marked]
        self.end, self.at = (marked[-1].end, marked[-1].last) if marked else (0, 0)
        if (alive := generation.alive) and alive.end == self.end:
            self.at = max(self.at, alive.at)
        self.since = self.seen = self.at

    def close(self) -> None:
        """Leave word of how the database is, if nobody else has it open: then the archive can go on when the portal starts again."""
        if self.others_have_it_open() or not self.have_it_begin_anew():
            return
        before, at = self.look(), micros_now()
        sha256 = digest(self.file)
        if self.look() == before and not self.is_new(before):
            self.generation.note_closed(Closed(self.end, at, sha256))
            self.generation.note_alive(Alive(self.end, at, at))

    def same_file(self) -> bool:
        try:
            there, ours = self.database.stat(), os.fstat(self.file)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def others_have_it_open(self) -> bool:
        """Each connection of SQLite holds a shared lock on these bytes of the file while its log is in use."""
        if sys.platform != "linux":
            return False
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0x40000002, 510, 0)
        answer = fcntl.fcntl(self.file, fcntl.F_GETLK, asked)
        return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)


def is_ahead(seen: int, moment: int) -> bool:
    """Whether what was seen is of a clock that has been set back since, further than a moment may be off: what comes now would be found
    under a time that is far from its own."""
    return seen - moment > LONGEST_LAG


def read_all(descriptor: int, size: int, at: int) -> bytes:
    """Not through a buffered file: that would answer what it read before."""
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, min(size, READ_AT_ONCE), at)):
        pieces.append(piece)
        size, at = size - len(piece), at + len(piece)
    return b"".join(pieces)


def digest(descriptor: int) -> str:
    whole, at = hashlib.sha256(), 0
    while piece := os.pread(descriptor, READ_AT_ONCE, at):
        whole.update(piece)
        at += len(piece)
    return whole.hexdigest()
