"""Which moments the archive of changes reaches: from each backup as far as its pieces follow each other without a gap."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.backups.pgbackrest.repository import Piece, Repository

COMMIT = re.compile(r"desc: COMMIT(?: PREPARED)? (?:\d+: )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC")
TICK = timedelta(microseconds=1)
LOOKED_BACK = 20  # pieces without a commit: a server where nothing happens ends one now and then all the same


@dataclass(frozen=True)
class Run:
    """Pieces that follow each other without a gap, the first and the last among them."""

    first: int
    last: int


def runs_of(places: Iterable[int]) -> list[Run]:
    runs: list[Run] = []
    for each in sorted(set(places)):
        if runs and each == runs[-1].last + 1:
            runs[-1] = Run(runs[-1].first, each)
        else:
            runs.append(Run(each, each))
    return runs


class Commits:
    """When the last change in a run of pieces was made: read from the pieces themselves, once."""

    def __init__(self, repository: Repository):
        self.repository = repository
        self.known: dict[str, datetime | None] = {}

    def last(self, run: Run, pieces: Mapping[int, Piece], programs: Path) -> datetime | None:
        for number in range(run.last, max(run.first, run.last - LOOKED_BACK) - 1, -1):
            piece = pieces[number]
            if piece.path not in self.known:
                self.known[piece.path] = self.read(piece, programs)
            if found := self.known[piece.path]:
                return found
        return None

    def read(self, piece: Piece, programs: Path) -> datetime | None:
        content = self.repository.read(piece)
        if content is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / piece.name).write_bytes(content)
            command: list[str | Path] = [programs / "pg_waldump", "--rmgr=Transaction", f"--path={folder}", piece.name]
            said = subprocess.run(command, capture_output=True, text=True, env={"TZ": "UTC"}, check=False).stdout
        times: Sequence[str] = COMMIT.findall(said)
        return max((datetime.fromisoformat(each).replace(tzinfo=UTC) for each in times), default=None)
