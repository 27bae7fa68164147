"""Which moments can be reached: from each backup as far as the pieces of the log follow each other in the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from adapters.backups.archive.reaching import ranges
from adapters.backups.catalog import Catalog
from adapters.backups.pgbackrest import live
from adapters.backups.pgbackrest.archive import TICK, Commits, Run, runs_of
from adapters.backups.pgbackrest.live import Server, place, place_of
from adapters.backups.pgbackrest.repository import Piece, Repository
from adapters.backups.pgbackrest.side import server_programs
from domain.backups.errors import BackupCorrupt, EngineUnavailable, PitrGap, PitrOutOfRange, TargetBeforeBackup
from domain.backups.manifest import Manifest, plain
from domain.backups.standing import restorable
from domain.backups.vault import Archiving, Span

BEHIND = 4
"""So many pieces of the log may wait to be archived, and nothing is wrong yet."""


@dataclass(frozen=True)
class Reach:
    """A backup, and the last moment that the log leads to from it."""

    manifest: Manifest
    end: datetime

    def has(self, moment: datetime) -> bool:
        return self.manifest.snapshot_at <= moment <= self.end


class Moments:
    def __init__(self, repository: Repository, catalog: Catalog, url: URL):
        self.repository, self.catalog, self.url = repository, catalog, url
        self.commits = Commits(repository)

    def coverage(self) -> Sequence[Span]:
        verified = restorable(self.catalog.list())[::-1]
        reached = [Span(each.manifest.snapshot_at, each.end) for each in self.reach(verified)]
        reached += [Span(each.snapshot_at, each.snapshot_at) for each in verified if each.archive is None]
        spans: list[Span] = []
        for span in sorted(reached, key=lambda span: span.start):
            if spans and span.start <= spans[-1].end:
                spans[-1] = Span(spans[-1].start, max(spans[-1].end, span.end))
            else:
                spans.append(span)
        return spans

    def reach(self, manifests: Sequence[Manifest], server: Server | None = None) -> list[Reach]:
        """Of those that are whole, with the log up to their own moment."""
        stored = self.repository.contents()
        server = server or self.server()
        archives: dict[str, tuple[Mapping[int, Piece], Sequence[Run]]] = {}
        found = []
        for manifest in manifests:
            archive = manifest.archive
            backup = stored.labelled(archive["label"]) if archive else None
            if not archive or backup is None or backup.damaged:
                continue
            if backup.archive_id not in archives:
                placed = {place(each.name, archive["piece_bytes"]): each for each in self.repository.pieces(backup.archive_id)}
                archives[backup.archive_id] = placed, runs_of(placed)
            pieces, runs = archives[backup.archive_id]
            begin, own = place(backup.start, archive["piece_bytes"]), place_of(archive["lsn"], archive["piece_bytes"])
            run = next((run for run in runs if run.first <= begin and own <= run.last), None)
            if run is not None:
                found.append(Reach(manifest, self.end_of(run, pieces, manifest, server)))
        return found

    def end_of(self, run: Run, pieces: Mapping[int, Piece], manifest: Manifest, server: Server | None) -> datetime:
        archive = manifest.archive
        assert archive is not None
        if server is not None and server.system_id == archive["system_id"] and goes_on(run, server):
            return server.now
        try:
            last = self.commits.last(run, pieces, server_programs(archive["major"]))
        except EngineUnavailable:
            last = None
        # a target is found by the first commit after it: the last one of all is itself none
        return max(manifest.snapshot_at, last - TICK) if last else manifest.snapshot_at

    def server(self) -> Server | None:
        try:
            return live.examine(self.url)
        except SQLAlchemyError:
            return None

    def archiving(self) -> Archiving:
        server = self.server()
        running = server is not None and server.archives and not server.failing and server.waiting <= BEHIND
        if server is not None and running:
            return Archiving(True, server.now)
        spans = self.coverage()
        return Archiving(False, spans[-1].end if spans else None)

    def base_for(self, manifest: Manifest, moment: datetime) -> Manifest:
        """The newest verified backup before the moment, from which the least is to be replayed; the given one where there is none."""
        verified = [each for each in self.catalog.list() if each.verified and each.verified.ok and each.snapshot_at <= moment]
        for reach in self.reach(verified):
            if reach.has(moment):
                return reach.manifest
        return manifest

    def check(self, manifest: Manifest, moment: datetime | None, server: Server) -> None:
        if not self.reach([manifest], server):
            raise BackupCorrupt("The archive does not have all of the log up to the backup's own moment.")
        if moment is None or moment == manifest.snapshot_at:
            return
        spans = self.coverage()
        reachable = any(span.start <= moment <= span.end for span in spans)
        if moment < manifest.snapshot_at and reachable:
            earlier = self.base_for(manifest, moment)
            raise TargetBeforeBackup(
                f"The backup was made after that moment: name {earlier.id}, which was made before.",
                use_backup_id=str(earlier.id),
                snapshot_at=plain(manifest.snapshot_at),
            )
        if not spans or not spans[0].start <= moment <= spans[-1].end:
            earliest, latest = (plain(spans[0].start), plain(spans[-1].end)) if spans else (None, None)
            message = (
                f"Only moments from {earliest} to {latest} can be reached." if spans else "No moment can be reached: no backup is whole."
            )
            raise PitrOutOfRange(message, earliest=earliest, latest=latest)
        if not reachable:
            raise self.gap(moment, spans)

    def gap(self, moment: datetime, spans: Sequence[Span] | None = None) -> PitrGap:
        spans = self.coverage() if spans is None else spans
        before = [each for each in self.catalog.list() if each.verified and each.verified.ok and each.snapshot_at <= moment]
        return PitrGap(
            "The log of that time is not in pgBackRest's archive. Ask for a moment within the ranges, or for a backup itself.",
            ranges=ranges(spans),
            nearest_backup=str(before[0].id) if before else None,
        )


def goes_on(run: Run, server: Server) -> bool:
    """Whether the run ends where the server goes on, so that what is not archived yet can be, at any time."""
    archived = server.archived is not None and run.last >= server.archived
    return archived and not server.failing and server.waiting <= BEHIND
