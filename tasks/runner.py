"""Claims a job, works on it, writes down what came of it: the one place where a worker changes a job's status."""

from __future__ import annotations

import logging
import os
import socket
import time
from threading import Lock, Thread
from uuid import UUID, uuid4

from sqlalchemy.exc import SQLAlchemyError

from domain.db import read_only
from domain.jobs import leases, retention
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from tasks.context import Context
from tasks.types import HANDLERS, Handler
from tasks.work import Stopped, Work

log = logging.getLogger(__name__)

TRIES_AFTER_AN_ERROR = 8
LOOKS_EVERY = 0.4


class Runner:
    """Runs jobs for one process; `run` may be called from many threads."""

    def __init__(self, context: Context, handlers: dict[str, Handler] | None = None):
        self.context = context
        self.handlers = HANDLERS if handlers is None else handlers
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}"
        self.held: dict[UUID, Work] = {}
        self.lock = Lock()

    def start_heartbeat(self) -> Thread:
        thread = Thread(target=self.heartbeat, name="heartbeat", daemon=True)
        thread.start()
        return thread

    def run(self, job_id: UUID) -> None:
        """Work on the job if it is there to be had. Raises nothing: what goes wrong is written to the job, or left to the sweep."""
        if self.context.stopping.is_set():
            return  # another worker, or the next start, hears of it through the sweep
        owner = f"{self.name}:{uuid4().hex[:12]}"
        try:
            with self.context.sessions.begin() as session:
                job = leases.claim(session, job_id, owner)
            if job is None:
                return
            work = Work(job, self.context, owner)
            with self.lock:
                self.held[job_id] = work
            try:
                outcome = self.outcome_of(work)
            finally:
                with self.lock:
                    self.held.pop(job_id, None)
                work.clean()
            self.write(work, outcome)
        except SQLAlchemyError as error:
            log.error("job %s: the database failed (%s); its lease runs out and it is run again", job_id, type(error).__name__)

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

    def write(self, work: Work, outcome: Outcome | None) -> None:
        with self.context.sessions.begin() as session:
            if outcome is not None and leases.finish(session, work.job.id, work.owner, outcome):
                return
            leases.acknowledge(session, work.job.id, work.owner)
        if isinstance(outcome, Done) and outcome.file is not None:
            self.forget(outcome.file.stored)
        log.info("job %s was cancelled or given to another worker; nothing of this run was kept", work.job.id)

    def forget(self, stored: str) -> None:
        """Remove the file of a job that was cancelled while its last step ran; where another worker has the job, the file is that one's."""
        with read_only(), self.context.sessions() as session:
            strays = retention.find_strays(session, [stored])
        for name in strays:
            self.context.storage.delete(name)

    def heartbeat(self) -> None:
        """Renew the leases of all that this process works on, and tell the work of each that was cancelled, until the process ends."""
        renewed = time.monotonic()
        while True:
            time.sleep(LOOKS_EVERY)
            with self.lock:
                held = dict(self.held)
            if not held:
                continue
            owners = {job_id: work.owner for job_id, work in held.items()}
            try:
                if time.monotonic() - renewed >= leases.HEARTBEAT_SECONDS:
                    renewed = time.monotonic()
                    with self.context.sessions.begin() as session:
                        for job_id, owner in owners.items():
                            leases.renew(session, job_id, owner)
                with read_only(), self.context.sessions() as session:
                    kept = leases.still_held(session, owners)
            except SQLAlchemyError as error:
                log.warning("the leases could not be renewed or read (%s)", type(error).__name__)
                continue
            for job_id in owners.keys() - kept:
                held[job_id].cancelled.set()
