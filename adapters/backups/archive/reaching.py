"""From a moment somebody asks for to the way there: which backup to begin with, and how far to go on from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, Protocol

from adapters.backups.archive import chain, rebuilding
from adapters.backups.archive.chain import Base, Stop
from adapters.backups.archive.moments import LONGEST_LAG, as_moment, micros, micros_now
from adapters.backups.archive.pruning import prune
from adapters.backups.archive.store import Store
from adapters.backups.lock import usable
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, FolderUnusable, PitrGap, PitrOutOfRange, TargetBeforeBackup
from domain.backups.manifest import Manifest, plain
from domain.backups.standing import restorable
from domain.backups.vault import Archiving, Finding, Progress, Span
from domain.db import now

WAIT_SECONDS = 3.0
"""How long a moment that has only just been is waited for: the archiver looks four times a second."""


class Backups(Protocol):
    """What is asked of the vault."""

    def list(self) -> Sequence[Manifest]: ...

    def damaged(self) -> Sequence[str]: ...

    def chain(self, manifest: Manifest) -> Sequence[Manifest]: ...

    def check_stored(self, manifest: Manifest) -> None: ...

    def check_fit(self, manifest: Manifest) -> None: ...


@dataclass(frozen=True)
class Way:
    """To `moment`: the backup alone, or on from there."""

    manifest: Manifest
    base: Base | None = None
    stop: Stop | None = None

    def go(self, database: Path, progress: Progress) -> datetime:
        """Bring the database, which is as the backup has it, to the moment; answers the moment reached. Each frame is checked on the way,
        the whole by whoever makes it live."""
        if self.base is None or self.stop is None:
            return self.manifest.snapshot_at
        rebuilding.go_on(self.base, self.stop.end, database, progress)
        return as_moment(self.stop.at)


class Archive:
    """The archive as everybody but the archiver sees it."""

    def __init__(self, store: Store, backups: Backups):
        self.store, self.backups = store, backups

    @property
    def running(self) -> bool:
        return self.archiving().running

    def archiving(self) -> Archiving:
        with usable(self.store.folder):
            newest = self.store.newest()
            alive = newest.alive if newest else None
        if alive is None:
            return Archiving(running=False, until=None)
        return Archiving(abs(micros_now() - alive.beat) <= LONGEST_LAG, as_moment(alive.at))

    def coverage(self) -> list[Span]:
        return self.spans_of(restorable(self.backups.list()))

    def spans_of(self, manifests: Sequence[Manifest]) -> list[Span]:
        alone = [Span(each.snapshot_at, each.snapshot_at) for each in manifests]
        with usable(self.store.folder):
            on = [span for base in chain.bases(manifests, chain.runs(self.store)) for span in base.reaches()]
        return chain.together([*alone, *on])

    def lacks_base(self) -> bool:
        """No backup stands in the row that is being written; one that began a moment ago is still empty."""
        newest = self.store.newest()
        if newest is None or not self.running:
            return False
        last = list(chain.runs_of(newest))[-1:]
        return not chain.bases(restorable(self.backups.list()), last)

    def way_to(self, manifest: Manifest, moment: datetime | None, *, reading_all: bool = True) -> Way:
        """The backup that is begun with is the one before the moment that is nearest to it and whole: there is less to go on over, and
        the moment is the same. Raises TargetBeforeBackup, PitrOutOfRange, PitrGap, BackupCorrupt, BackupKeyMismatch."""
        self.backups.check_fit(manifest)
        if moment is None or moment == manifest.snapshot_at:
            return Way(manifest)
        if moment < manifest.snapshot_at:
            self.refuse_earlier(manifest, moment)
        self.wait_for(moment)
        verified = [each for each in self.backups.list() if each.verified and each.verified.ok]  # also on what is damaged elsewhere alone
        spans = self.spans_of(verified)
        if not spans or moment > spans[-1].end:
            self.refuse_out_of_range()
        way = next((Way(each) for each in verified if each.snapshot_at == moment), None)
        return way or self.best_way(moment, verified, reading_all)

    def best_way(self, moment: datetime, verified: Sequence[Manifest], reading_all: bool) -> Way:
        damage: BackupCorrupt | BackupKeyMismatch | None = None
        for base in chain.bases([each for each in verified if each.snapshot_at < moment], chain.runs(self.store)):
            try:
                stop = chain.stop_for(base, micros(moment))
                if stop.lags_behind(micros(moment)):
                    continue
                for each in self.backups.chain(base.manifest):
                    (self.backups.check_stored if reading_all else self.backups.check_fit)(each)
                if reading_all:
                    rebuilding.check_segments(base, stop.end)
            except (BackupCorrupt, BackupKeyMismatch) as error:  # the key may have been another for a while
                damage = damage or error
            else:
                return Way(base.manifest, base, stop)
        if damage:
            raise damage
        nearest = chain.nearest(restorable(self.backups.list()), moment)
        raise PitrGap(
            "Nothing was kept of that time, because no archiver ran or a piece of the archive is gone. "
            "Ask for a moment within the ranges, or for a backup itself.",
            ranges=ranges(self.coverage()),
            nearest_backup=nearest and str(nearest.id),
        )

    def refuse_earlier(self, manifest: Manifest, moment: datetime) -> NoReturn:
        earlier = next((each for each in restorable(self.backups.list()) if each.snapshot_at <= moment), None)
        if earlier is None:
            self.refuse_out_of_range()
        raise TargetBeforeBackup(
            f"The backup was made after that moment: name {earlier.id}, which was made before.",
            use_backup_id=str(earlier.id),
            snapshot_at=plain(manifest.snapshot_at),
        )

    def refuse_out_of_range(self) -> NoReturn:
        spans = self.coverage()
        earliest, latest = (plain(spans[0].start), plain(spans[-1].end)) if spans else (None, None)
        message = f"Only moments from {earliest} to {latest} can be reached." if spans else "No moment can be reached: there is no backup."
        raise PitrOutOfRange(message, earliest=earliest, latest=latest)

    def wait_for(self, moment: datetime) -> None:
        """A moment that has only just been is in the archive when the archiver has looked again."""
        deadline = time.monotonic() + WAIT_SECONDS
        while now() >= moment and time.monotonic() < deadline:
            archiving = self.archiving()
            if not archiving.running or (archiving.until and archiving.until >= moment):
                return
            time.sleep(0.05)

    def check(self, manifest: Manifest) -> str:
        """Read all that goes on from a backup; answers what was found. What is damaged is set aside, so that no moment behind it is offered
        any more; the backup itself is none the worse."""
        found = []
        for base in chain.bases([manifest], chain.runs(self.store)):
            whole, damaged = rebuilding.set_damaged_aside(base)
            found.append(f"; {whole} pieces of the archive go on from it")
            if damaged:
                found.append(f", {len(damaged)} were damaged and are set aside: moments behind them need a later backup")
        return "".join(found)

    def prune(self) -> None:
        """A backup whose manifest cannot be read now may be read again: while there is one, nothing goes."""
        if not self.backups.damaged():
            prune(self.store, self.backups.list())

    def examine(self) -> Finding:
        try:
            archiving = self.archiving()
        except FolderUnusable as error:
            return Finding("archiver", False, error.message, "Until then nothing is kept of what changes")
        if not archiving.running:
            until = f" since {archiving.until:%Y-%m-%d %H:%M:%S} UTC" if archiving.until else ""
            found = f"nothing runs that keeps what changes between backups{until}"
            return Finding("archiver", False, found, "Run `flask archiver` beside the worker, as the Procfile does; its log says more")
        assert archiving.until is not None
        behind = (now() - archiving.until).total_seconds()
        if behind * 1e6 > LONGEST_LAG:
            return Finding("archiver", False, f"the archiver is {behind:.0f} s behind", "See if the disk of BACKUP_DIR is full or slow")
        if self.lacks_base():
            found = "the archiver runs, and no moment can be reached from what it keeps until a backup is made"
            return Finding("archiver", False, found, "The worker makes one within minutes; or: flask backup create --incremental")
        return Finding("archiver", True, f"the archiver keeps what changes between backups, {max(behind, 0):.1f} s behind")


def ranges(spans: Sequence[Span]) -> list[dict[str, str]]:
    return [{"from": plain(span.start), "to": plain(span.end)} for span in spans]
