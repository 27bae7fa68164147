"""One run of a job, as its handler sees it: what it was asked for, how to tell how far it is, and when to stop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from domain.jobs import events, leases
from domain.jobs.models import Job
from tasks.context import Context

TOLD_EVERY = 0.5


class Stopped(Exception):
    """The job was cancelled, lost its lease, or its worker is to end: nothing of this run counts."""


@dataclass
class Work:
    """`cancelled` is set within half a second of the cancellation, or when the lease is lost."""

    job: Job
    context: Context
    owner: str
    cancelled: Event = field(default_factory=Event)
    told_at: float = 0.0
    has_folder: bool = False

    def check(self) -> None:
        """Call between steps, at least twice a second. Raises Stopped."""
        if self.cancelled.is_set() or self.context.stopping.is_set():
            raise Stopped

    def progress(self, percent: float, stage: str) -> None:
        """Tell how far it is, as often as one likes: the row is written twice a second at most. Raises Stopped."""
        self.check()
        if time.monotonic() - self.told_at < TOLD_EVERY:
            return
        self.told_at = time.monotonic()
        with self.context.sessions.begin() as session:
            if not leases.tell(session, self.job.id, self.owner, percent, stage):
                self.cancelled.set()
        self.check()

    def log(self, message: str) -> None:
        with self.context.sessions.begin() as session:
            events.note(session, self.job.id, "log", message)

    def past_return(self) -> None:
        """Say that the job can no longer be cancelled. Raises Stopped where it was just before."""
        with self.context.sessions.begin() as session:
            kept = leases.pass_point_of_no_return(session, self.job.id, self.owner)
        if not kept:
            self.cancelled.set()
            raise Stopped

    @property
    def folder(self) -> Path:
        """A folder for this run's work files: a worker that was overtaken has another. It is removed when the run ends, however it ends."""
        folder = work_folder(self.context, self.job) / str(self.job.attempts)
        self.has_folder = True
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clean(self) -> None:
        """Remove this run's work files, and those of runs before it whose worker died."""
        if not self.has_folder and self.job.attempts == 1:
            return
        home = work_folder(self.context, self.job)
        with suppress(OSError):
            for folder in home.iterdir():
                if int(folder.name) <= self.job.attempts:
                    shutil.rmtree(folder, ignore_errors=True)
            home.rmdir()


def work_folder(context: Context, job: Job) -> Path:
    return context.config.data_dir / "work" / str(job.id)


def work_folders(context: Context) -> Iterator[Path]:
    """Every job's folder on this machine, also of jobs that are long over."""
    with suppress(FileNotFoundError):
        yield from (context.config.data_dir / "work").iterdir()
