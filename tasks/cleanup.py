"""The clean-up: what was kept long enough goes, in small steps, and so does what dead workers left behind."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from domain.db import now, read_only
from domain.exports.making import stored_name
from domain.jobs import retention
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from domain.storage import StorageError
from tasks.context import Context
from tasks.work import Work, work_folder, work_folders

log = logging.getLogger(__name__)

FOLDERS = ("exports", "doctor")
"""Where in storage files are named for their jobs; `flask doctor` leaves one behind where it is killed."""
TRIES_OF_STORAGE = 5
BEFORE_STRAYS = 90  # per cent


def cleanup(work: Work) -> Outcome:
    """Storage that cannot be used keeps no row that is due from going, but for those whose file is still there."""
    cleaning = Cleaning(work, now() - timedelta(days=work.context.config.job_retention_days))
    with read_only(), work.context.sessions() as session:
        cleaning.total = retention.count_due(session, cleaning.before)
    trouble = None
    try:
        cleaning.remove_expired_files()
    except StorageError as error:
        trouble = error
    cleaning.purge_rows()
    try:
        cleaning.remove_stray_files()
    except StorageError as error:
        trouble = trouble or error
    if trouble is None:
        return Done(dict(cleaning.removed))
    if work.job.attempts < TRIES_OF_STORAGE:
        return Again(min(5.0 * 2**work.job.attempts, 60.0), str(trouble))
    return Failed("STORAGE_UNAVAILABLE", str(trouble))


@dataclass
class Cleaning:
    """One run. Each step reads what is due, removes it, and writes that down before the next: one that is killed is gone on with."""

    work: Work
    before: datetime
    total: int = 0
    removed: dict[str, int] = field(default_factory=lambda: {"expired_files": 0, "purged_jobs": 0, "stray_files": 0})

    def remove_expired_files(self) -> None:
        """The file first and then its row's word for it: the other way round, a crash in between would leave a file for good."""
        while True:
            self.tell("Removing old files")
            with read_only(), self.work.context.sessions() as session:
                expired = retention.list_expired(session, self.before)
            if not expired:
                return
            for _, file in expired:
                self.work.check()
                self.work.context.storage.delete(file)
            with self.work.context.sessions.begin() as session:
                retention.note_expired(session, [job_id for job_id, _ in expired])
            self.removed["expired_files"] += len(expired)

    def purge_rows(self) -> None:
        purged = None
        while purged != 0:
            self.tell("Removing old jobs")
            with self.work.context.sessions.begin() as session:
                purged = retention.purge(session, self.before)
            self.removed["purged_jobs"] += purged

    def remove_stray_files(self) -> None:
        storage, before = self.work.context.storage, now() - retention.STRAY_AFTER
        self.work.progress(BEFORE_STRAYS, "Looking for files without a job")
        for folder in FOLDERS:
            self.removed["stray_files"] += storage.drop_unfinished(folder, before)
            for names in pieces(storage.names(folder, before)):
                self.work.check()
                with read_only(), self.work.context.sessions() as session:
                    strays = retention.find_strays(session, names)
                for name in strays:
                    self.work.check()
                    storage.delete(name)
                    log.info("%s was in storage without a job: removed", name)
                self.removed["stray_files"] += len(strays)

    def tell(self, stage: str) -> None:
        done = self.removed["expired_files"] + self.removed["purged_jobs"]
        self.work.progress(BEFORE_STRAYS * min(done / self.total, 1) if self.total else 0, stage)


def pieces(names: Iterable[str]) -> Iterator[list[str]]:
    names = iter(names)
    while piece := list(islice(names, retention.AT_ONCE)):
        yield piece


def remove_left_folders(context: Context) -> None:
    """Remove this machine's work folders of jobs that nobody works on any more; each worker looks after its own machine's."""
    before = now() - retention.STRAY_AFTER
    left = {job_id: path for path in work_folders(context) if older(path, before) and (job_id := retention.as_id(path.name)) is not None}
    if not left:
        return
    with read_only(), context.sessions() as session:
        unfinished = retention.find_unfinished(session, left)
    for job_id in left.keys() - unfinished:
        shutil.rmtree(left[job_id], ignore_errors=True)
        log.info("the work folder of job %s was left behind: removed", job_id)


def remove_rests(context: Context, job: Job) -> None:
    """Remove what a dead worker left of a cancelled job: its work folder, if it was this machine's, and a file it had just kept."""
    shutil.rmtree(work_folder(context, job), ignore_errors=True)
    stored = stored_name(job)
    if stored is not None:
        context.storage.delete(stored)


def older(folder: Path, before: datetime) -> bool:
    with suppress(OSError):
        return datetime.fromtimestamp(folder.stat(follow_symlinks=False).st_mtime, UTC) < before
    return False
