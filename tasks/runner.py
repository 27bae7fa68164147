"""Claims a job, works on it, writes down what came of it: the one place where a worker changes a job's status."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from uuid import UUID

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from domain.db import read_only
from domain.jobs import leases, retention
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from tasks.context import Context
from tasks.ledger import Finish, Ledger
from tasks.types import HANDLERS, Handler
from tasks.work import Stopped, Work

log = logging.getLogger(__name__)

TRIES_AFTER_AN_ERROR = 8
LOOKS_EVERY = 0.4
REMEMBERED = 10_000


class Runner:
    """Runs jobs for one process; `run` may be called from many threads."""

    def __init__(self, context: Context, handlers: dict[str, Handler] | None = None):
        self.context = context
        self.handlers = HANDLERS if handlers is None else handlers
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}"
        self.ledger = Ledger(context, self.name)
        self.held: dict[UUID, Work] = {}
        self.done: dict[UUID, None] = {}
        self.lock = Lock()

    def start_heartbeat(self) -> Thread:
        thread = Thread(target=self.heartbeat, name="heartbeat", daemon=True)
        thread.start()
        return thread

    def answer(self, job_id: UUID) -> None:
        """Answer a ring: work on this job if it is there to be had, then on whatever else is due."""
        if not (job_id in self.held or job_id in self.done or self.ledger.gathering or self.ledger.knows(job_id)):
            self.run(job_id, self.next)

    def run(self, job_id: UUID, next: Callable[[], Job | None] = lambda: None) -> None:
        """Work on the job if it is there to be had, then on what is `next`. Raises nothing: what goes wrong is written to the job, or left
        to the sweep."""
        if self.context.stopping.is_set():
            return  # another worker, or the next start, hears of it through the sweep
        try:
            job = self.ledger.claim(job_id)
            while job is not None:
                self.work_on(job)
                job = next()
            self.ledger.flush()
        except SQLAlchemyError as error:
            ours = None if isinstance(error, OperationalError | InterfaceError) else error  # a mistake of ours says where it is
            words = "job %s: the database failed (%s); its lease runs out and it is run again"
            log.error(words, job_id, type(error).__name__, exc_info=ours)

    def next(self) -> Job | None:
        if not self.context.stopping.is_set():
            return self.ledger.next()
        self.ledger.hand_back(everything=True)
        return None

    def work_on(self, job: Job) -> None:
        """Do it and leave what came of it to be written."""
        assert job.lease_owner is not None
        work = Work(job, self.context, job.lease_owner)
        with self.lock:
            self.held[job.id] = work
        began = time.monotonic()
        try:
            outcome = self.outcome_of(work)
        finally:
            with self.lock:
                self.held.pop(job.id, None)
            work.clean()
        finish = Finish(job.id, work.owner, outcome, partial(self.after, job.id, outcome))
        self.ledger.finish(finish, time.monotonic() - began)

    def outcome_of(self, work: Work) -> Outcome | None:
        """What came of it; None where the run was stopped because the job is no longer its own."""
        job = work.job
        handler = self.handlers.get(job.type)
        if handler is None:
            return Failed("UNKNOWN_TYPE", f"This version of the portal has no job type {job.type!r}.")
        try:
            return handler(work)
        except Stopped:
            return None if work.cancelled.is_set() else Again(0, "Its worker ended; another goes on")
        except SQLAlchemyError as error:
            log.exception("job %s (%s) could not reach or use the database", job.id, job.type)
            return Again(10, f"The database failed ({type(error).__name__})")
        except Exception as error:
            log.exception("job %s (%s) failed", job.id, job.type)
            if job.attempts < TRIES_AFTER_AN_ERROR:
                return Again(min(2.0**job.attempts, 60.0), f"An unexpected error ({type(error).__name__}); see the log")
            return Failed("UNEXPECTED_ERROR", f"An unexpected error ({type(error).__name__}); see the log")

    def after(self, job_id: UUID, outcome: Outcome | None, kept: bool) -> None:
        if not kept:
            if isinstance(outcome, Done) and outcome.file is not None:
                self.forget(outcome.file.stored)
            log.info("job %s was cancelled or given to another worker; nothing of this run was kept", job_id)
        elif isinstance(outcome, Done):  # it never changes again, so a ring for it that comes late needs no look at its row
            with self.lock:
                self.done[job_id] = None
                if len(self.done) > REMEMBERED:
                    del self.done[next(iter(self.done))]

    def forget(self, stored: str) -> None:
        """Remove the file of a job that was cancelled while its last step ran; where another worker has the job, the file is that one's."""
        with read_only(), self.context.sessions() as session:
            strays = retention.find_strays(session, [stored])
        for name in strays:
            self.context.storage.delete(name)

    def heartbeat(self) -> None:
        """Until the process ends: keep the leases of all that it works on, tell the work of each job that was cancelled, write outcomes
        that nobody else came to write, and let go of jobs that no thread came to begin."""
        renewed = time.monotonic()
        while True:
            time.sleep(LOOKS_EVERY)
            try:
                self.ledger.flush()
                self.ledger.hand_back()
                if time.monotonic() - renewed >= leases.HEARTBEAT_SECONDS:
                    renewed = time.monotonic()
                    self.renew()
                self.look()
            except SQLAlchemyError as error:
                log.warning("the leases could not be renewed or read (%s)", type(error).__name__)
            except Exception:  # without this thread no lease is renewed, so nothing may end it
                log.exception("the leases could not be looked after")

    def renew(self) -> None:
        owners = self.owners()
        if owners:
            with self.context.sessions.begin() as session:
                for job_id, owner in owners.items():
                    leases.renew(session, job_id, owner)

    def look(self) -> None:
        """Tell the work of jobs that are no longer this process's."""
        owners = self.owners()
        if not owners:
            return
        with read_only(), self.context.sessions() as session:
            kept = leases.still_held(session, owners)
        with self.lock:
            for job_id in owners.keys() - kept:
                if job_id in self.held:
                    self.held[job_id].cancelled.set()

    def owners(self) -> dict[UUID, str]:
        with self.lock:
            return {job_id: work.owner for job_id, work in self.held.items()}
