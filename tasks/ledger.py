"""This process's claims and outcomes, written for all its threads together.

A commit is the dearest part of a small job, and SQLite has one writer at a time. So the transaction that writes what came of jobs also
claims the next ones: for work that takes its time one at a time, as soon as a thread is free; for brisk work about as much as is done
in a twentieth of a second, whose outcomes are then written together as well. What was claimed and not begun within half a second, since
all threads met with longer work, is handed back for other workers. A job that a worker was ever lost over is only claimed alone, so that
it takes no others with it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from uuid import UUID, uuid4

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain.jobs import leases
from domain.jobs.models import Job
from domain.jobs.outcomes import Done, Outcome
from tasks.context import Context

log = logging.getLogger(__name__)

BRISK_SECONDS = 0.01
WORTH_OF_WORK = 0.05
MOST_AT_ONCE = 64
LATEST_COUNTS = 0.5
GATHER_SECONDS = 0.005
HANDED_BACK_AFTER = 0.5
TRIES = 20

Claiming = Callable[[Session, str], Sequence[Job]]


@dataclass
class Finish:
    """What came of a run; None where it was stopped because the job is no longer its own. `told` hears, once it is written, whether the
    job was still its owner's: otherwise it was cancelled or given to another worker, and nothing of this run counts."""

    job_id: UUID
    owner: str
    outcome: Outcome | None
    told: Callable[[bool], None]
    tries: int = 0

    @property
    def plain(self) -> bool:
        return self.outcome == Done()


@dataclass
class Ledger:
    context: Context
    name: str
    finished: list[Finish] = field(default_factory=list)
    claimed: deque[Job] = field(default_factory=deque)
    claimed_at: float = 0.0
    pace: float = 1.0  # what a job took of late, in seconds
    found_all: bool = False
    gathering: bool = False  # whatever is due by now is about to be claimed
    lists: Lock = field(default_factory=Lock)
    writing: Lock = field(default_factory=Lock)

    def claim(self, job_id: UUID) -> Job | None:
        """This job, if it is there to be had."""
        with self.writing:
            return next(iter(self.write(lambda session, owner: leases.claim_several(session, [job_id], owner))), None)

    def next(self) -> Job | None:
        """Whatever is due; None if nothing is. What was finished before is written when this returns, unless the work is brisk."""
        job = self.take_claimed()
        if job is not None:
            return job
        with self.writing:
            if self.claimed:  # by the thread that wrote before this one
                job = self.take_claimed()
                if job is not None:
                    return job
            self.gather()
            jobs = self.write(self.claim_some)
            with self.lists:
                self.found_all = len(jobs) < self.at_once
                self.claimed.extend(jobs)
                self.claimed_at = time.monotonic()
            return self.take_claimed()

    def take_claimed(self) -> Job | None:
        with self.lists:
            return self.claimed.popleft() if self.claimed else None

    def gather(self) -> None:
        """Brisk jobs that come one by one are waited for a moment, so that a transaction is worth its while."""
        if self.brisk and self.found_all:
            self.gathering = True
            time.sleep(GATHER_SECONDS)
            self.gathering = False

    @property
    def at_once(self) -> int:
        return min(int(WORTH_OF_WORK / self.pace), MOST_AT_ONCE) if self.brisk else 1

    def claim_some(self, session: Session, owner: str) -> Sequence[Job]:
        several = leases.claim_due(session, self.at_once, owner, never_lost=True) if self.brisk else ()
        return several or leases.claim_due(session, 1, owner)

    @property
    def brisk(self) -> bool:
        return self.pace < BRISK_SECONDS

    def finish(self, finish: Finish, took: float) -> None:
        """Note what came of a run that took so many seconds. It is written by the `next` or `flush` that follows."""
        with self.lists:
            self.finished.append(finish)
            self.pace += LATEST_COUNTS * (took - self.pace)

    def flush(self) -> None:
        """Write what is finished."""
        with self.writing:
            if self.finished:
                self.write(None)

    def hand_back(self, everything: bool = False) -> None:
        """Let other workers have what was claimed and not begun."""
        with self.lists:
            if not self.claimed or not (everything or time.monotonic() - self.claimed_at > HANDED_BACK_AFTER):
                return
            jobs = list(self.claimed)
            self.claimed.clear()
        with self.context.sessions.begin() as session:
            leases.hand_back(session, {job.id: str(job.lease_owner) for job in jobs})

    def knows(self, job_id: UUID) -> bool:
        """Whether it is claimed already, or finished and about to be written."""
        with self.lists:
            return any(job.id == job_id for job in self.claimed) or any(finish.job_id == job_id for finish in self.finished)

    def write(self, claim: Claiming | None) -> Sequence[Job]:
        """Write what is finished and claim, in one transaction. Call with `writing` held.

        A database that is away keeps nobody waiting for each outcome in turn: they stay on the list for the next writing. What spoils a
        transaction for the others is written alone, and given up if it cannot be: its lease runs out and the job is run again.
        """
        with self.lists:
            finishes, self.finished = self.finished, []
        try:
            return self.write_together(finishes, claim)
        except OperationalError:
            self.keep_for_later(finishes)
            raise
        except Exception:  # what follows on an outcome is any act of the domain, and may fail in any way
            if not finishes:
                raise
            for finish in finishes:
                self.write_alone(finish)
        return self.write_together((), claim)

    def keep_for_later(self, finishes: Sequence[Finish]) -> None:
        for finish in finishes:
            finish.tries += 1
        given_up = [finish for finish in finishes if finish.tries >= TRIES]
        with self.lists:
            self.finished[:0] = [finish for finish in finishes if finish.tries < TRIES]
        for finish in given_up:
            log.error("what came of job %s could not be written; its lease runs out and it is run again", finish.job_id)

    def write_alone(self, finish: Finish) -> None:
        try:
            self.write_together([finish], None)
        except Exception:
            log.exception("what came of job %s could not be written; its lease runs out and it is run again", finish.job_id)

    def write_together(self, finishes: Sequence[Finish], claim: Claiming | None) -> Sequence[Job]:
        with self.context.sessions.begin() as session:
            kept = self.write_finishes(session, finishes)
            jobs = claim(session, f"{self.name}:{uuid4().hex[:12]}") if claim is not None else ()
        for finish in finishes:
            self.tell(finish, finish.job_id in kept)
        return jobs

    def tell(self, finish: Finish, kept: bool) -> None:
        """It is written, so what goes wrong now, as in removing a file, must not look as if it were not."""
        try:
            finish.told(kept)
        except Exception:
            log.exception("what was to follow on job %s did not happen", finish.job_id)

    def write_finishes(self, session: Session, finishes: Sequence[Finish]) -> set[UUID]:
        """Write them; answers whose job was still their owner's. The others only say that their run has stopped."""
        plain = {finish.job_id: finish.owner for finish in finishes if finish.plain}
        kept = leases.finish_alike(session, plain, Done()) if plain else set()
        for finish in finishes:
            if not finish.plain and finish.outcome is not None and leases.finish(session, finish.job_id, finish.owner, finish.outcome):
                kept.add(finish.job_id)
            if finish.job_id not in kept:
                leases.acknowledge(session, finish.job_id, finish.owner)
        return kept
