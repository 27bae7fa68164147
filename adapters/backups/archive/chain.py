"""What the archive reaches: unbroken rows of segments, where backups stand in them, and which moments follow from that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from adapters.backups.archive.moments import LONGEST_LAG, as_moment, micros
from adapters.backups.archive.segments import Segment
from adapters.backups.archive.store import Alive, Generation, Store
from adapters.backups.archive.wal import Position
from domain.backups.manifest import Manifest
from domain.backups.vault import Span


@dataclass(frozen=True)
class Run:
    """Segments of a generation without a hole between them. What a transaction that was never copied whole left at the end is no part."""

    generation: Generation
    segments: Sequence[Segment]
    alive: Alive | None
    set_back: int | None

    @property
    def start(self) -> int:
        return self.segments[0].start

    @property
    def end(self) -> int:
        return self.segments[-1].end

    @property
    def known_until(self) -> int:
        """Until when it is known to hold all there was."""
        last = self.segments[-1].last
        until = max(last, self.alive.at) if self.alive and self.alive.end == self.end else last
        return until if self.set_back is None else min(until, self.set_back)

    @cached_property
    def origins(self) -> dict[str, int]:
        """The logs that are there from their first frame on, and how many frames come before each."""
        return {segment.salts: segment.origin for segment in self.segments if segment.origin + 1 >= self.start}

    @cached_property
    def pauses(self) -> Sequence[Segment]:
        """Those that were first seen after a time in which nobody looked."""
        return [segment for segment in self.segments if segment.after_a_pause]

    def place(self, position: Position) -> int | None:
        origin = self.origins.get(position.salts)
        if origin is None or origin + position.frame > self.end:
            return None
        return origin + position.frame


@dataclass(frozen=True)
class Base:
    """A backup that a run goes on from: it holds what `place` frames of the generation made of the database."""

    manifest: Manifest
    run: Run
    place: int

    @property
    def snapshot(self) -> int:
        return micros(self.manifest.snapshot_at)

    def reaches(self) -> Iterator[Span]:
        start, known_until = self.snapshot, self.run.known_until
        for since, until in self.pauses():
            if start < until and start <= known_until:
                yield Span(as_moment(start), as_moment(max(min(since, known_until), start)))
                start = until
        if known_until >= start:
            yield Span(as_moment(start), as_moment(known_until))

    def pauses(self) -> Iterator[tuple[int, int]]:
        """When nobody looked, and something was written."""
        for segment in self.run.pauses:
            if segment.end > self.place:
                yield segment.since, segment.first

    def covers(self, moment: int) -> bool:
        return any(micros(span.start) <= moment <= micros(span.end) for span in self.reaches())


@dataclass(frozen=True)
class Stop:
    """How far to go for a moment: after `end` frames the database was, at `at`, what it was at that moment as far as is known."""

    end: int
    at: int

    def lags_behind(self, moment: int) -> bool:
        return moment - self.at > LONGEST_LAG


def stop_for(base: Base, moment: int) -> Stop:
    """Raises BackupCorrupt if the segment that the moment falls in is damaged."""
    end, until = base.place, base.run.known_until
    for segment in base.run.segments:
        if not segment.marked or segment.end <= base.place:
            continue
        if segment.first > moment:
            until = segment.since
            break
        if segment.last <= moment:
            end = segment.end
            continue
        marks = base.run.generation.read(segment).marks
        end = max([end, *(mark.end for mark in marks if mark.seen <= moment)])
        until = next(mark.since for mark in marks if mark.seen > moment)
        break
    return Stop(end, max(base.snapshot, min(moment, until, base.run.known_until)))


def runs(store: Store) -> list[Run]:
    return [run for generation in store.generations() for run in runs_of(generation)]


def runs_of(generation: Generation) -> Iterator[Run]:
    alive, set_back = generation.alive, generation.set_back
    group: list[Segment] = []
    for segment in generation.segments():
        if group and segment.start != group[-1].end + 1:
            yield from run_of(generation, group, alive, set_back)
            group = []
        group.append(segment)
    yield from run_of(generation, group, alive, set_back)


def run_of(generation: Generation, segments: list[Segment], alive: Alive | None, set_back: int | None) -> Iterator[Run]:
    while segments and not segments[-1].marked:
        segments.pop()
    if segments:
        yield Run(generation, tuple(segments), alive, set_back)


def bases(manifests: Sequence[Manifest], found: Sequence[Run]) -> list[Base]:
    """The verified backups that a run goes on from, in the order of the manifests; of several runs the newest first."""
    standing = []
    for manifest in manifests:
        if manifest.verified and manifest.verified.ok and (position := position_of(manifest)):
            for run in reversed(found):
                if (place := run.place(position)) is not None:
                    standing.append(Base(manifest, run, place))
    return standing


def position_of(manifest: Manifest) -> Position | None:
    noted: dict[str, Any] = (manifest.archive or {}).get("log") or {}
    return Position(**noted) if noted else None


def together(spans: Sequence[Span]) -> list[Span]:
    """The same moments, oldest first, none twice."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def nearest(manifests: Sequence[Manifest], moment: datetime) -> Manifest | None:
    return min(manifests, key=lambda manifest: abs(manifest.snapshot_at - moment), default=None)
