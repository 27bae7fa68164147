"""What a restore was about to do, on disk before it does it: whoever comes after a crash reads where it stood."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from adapters.backups.catalog import sync
from domain.db import now

NAME = "journal.jsonl"
ENDS = ("done", "failed")
FORGOTTEN = ".forgotten"


@dataclass(frozen=True)
class Journal:
    """One file per restore. `done` and `failed` end it; a file that does not end so is of a process that died, or is still at work."""

    folder: Path

    @property
    def restore_id(self) -> UUID:
        return UUID(self.folder.name)

    def step(self, name: str, **facts: Any) -> None:
        """Returns when the line is on disk."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = json.dumps({"at": now().isoformat(), "step": name, **facts})
        with (self.folder / NAME).open("a+b") as file:
            file.write(b"" if ends_well(file) else b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.folder)

    @property
    def last(self) -> str:
        steps = [step for step, _ in self.steps()]
        return steps[-1] if steps else "begun"

    @property
    def ended(self) -> bool:
        return self.last in ENDS

    @property
    def ended_at(self) -> datetime | None:
        """None while it has not ended."""
        steps = [(step, facts) for step, facts in self.steps()]
        return datetime.fromisoformat(steps[-1][1]["at"]) if steps and steps[-1][0] in ENDS else None

    def remove(self) -> None:
        """With all that is left beside it; by a name that is no restore's, so that a crash leaves none without its end."""
        gone = self.folder.with_name(f"{self.folder.name}{FORGOTTEN}")
        self.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    @property
    def wants_uploads(self) -> bool:
        """Whether the files of the storage were to come back with it."""
        return all(facts.get("uploads", True) for _, facts in self.steps())

    def steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """A last line that was cut by the crash counts as not written."""
        try:
            lines = (self.folder / NAME).read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                facts = json.loads(line)
                yield facts["step"], facts
            except (ValueError, KeyError, TypeError):
                continue


def ends_well(file: IO[bytes]) -> bool:
    """Whether its last line is whole: what follows one that a full disk or a crash cut must be a line of its own."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read() == b"\n"


def remove_rests(folder: Path) -> None:
    for path in folder.glob(f"*{FORGOTTEN}"):
        shutil.rmtree(path, ignore_errors=True)


def journals(folder: Path) -> Iterator[Journal]:
    for path in sorted(folder.glob("????????-????-????-????-????????????")):
        if path.is_dir():
            yield Journal(path)
