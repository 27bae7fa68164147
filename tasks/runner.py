"""Claims a job, works on it, writes down what came of it: the one place where a worker changes a job's status."""

from __future__ import annotations

import logging
import os
import socket
import time
from threading import Lock, Thread
from uuid import UUID, uuid4

from sqlalchemy.exc import SQLAlchemyError

from domain.jobs import leases
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Failed, Outcome
from tasks.context import Context
from tasks.types import HANDLERS, Handler

log = logging.getLogger(__name__)

TRIES_AFTER_AN_ERROR = 8


class Runner:
    """Runs jobs for one process; `run` may be called from many threads."""

    def __init__(self, context: Context, handlers: dict[str, Handler] | None = None):
        self.context = context
        self.handlers = HANDLERS if handlers is None else handlers
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}"
        self.held: dict[UUID, str] = {}
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
            with self.lock:
                self.held[job_id] = owner
            try:
                outcome = self.work(job)
                with self.context.sessions.begin() as session:
                    if not leases.finish(session, job_id, owner, outcome):
                        log.warning("job %s is no longer this worker's; what came of it was not written", job_id)
            finally:
                with self.lock:
                    self.held.pop(job_id, None)
        except SQLAlchemyError as error:
            log.error("job %s: the database failed (%s); its lease runs out and it is run again", job_id, type(error).__name__)

    def work(self, job: Job) -> Outcome:
        handler = self.handlers.get(job.type)
        if handler is None:
            return Failed("UNKNOWN_TYPE", f"This version of the portal has no job type {job.type!r}.")
        try:
            return handler(job, self.context)
        except SQLAlchemyError as error:
            log.exception("job %s (%s) could not reach or use the database", job.id, job.type)
            return Again(10, f"The database failed ({type(error).__name__})")
        except Exception as error:
            log.exception("job %s (%s) failed", job.id, job.type)
            if job.attempts < TRIES_AFTER_AN_ERROR:
                return Again(min(2.0**job.attempts, 60.0), f"An unexpected error ({type(error).__name__}); see the log")
            return Failed("UNEXPECTED_ERROR", f"An unexpected error ({type(error).__name__}); see the log")

    def heartbeat(self) -> None:
        """Renew the leases of all that this process works on, until the process ends."""
        while True:
            time.sleep(leases.HEARTBEAT_SECONDS)
            with self.lock:
                held = dict(self.held)
            for job_id, owner in held.items():
                try:
                    with self.context.sessions.begin() as session:
                        leases.renew(session, job_id, owner)
                except SQLAlchemyError as error:
                    log.warning("the lease of job %s could not be renewed (%s)", job_id, type(error).__name__)
