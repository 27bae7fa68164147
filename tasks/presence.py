"""This worker's sign of life, for `flask doctor` and whoever watches."""

from __future__ import annotations

import logging
import os
import socket
from uuid import UUID, uuid4

from sqlalchemy.exc import SQLAlchemyError

from domain.jobs import workers
from tasks.context import Context
from tasks.queue import Bell
from tasks.runner import Runner

log = logging.getLogger(__name__)


class Presence:
    def __init__(self, runner: Runner, threads: int):
        self.id: UUID = uuid4()
        self.runner, self.threads = runner, threads

    def beat(self, context: Context, _bell: Bell | None = None) -> None:
        running = len(self.runner.held)
        with context.sessions.begin() as session:
            workers.beat(session, self.id, host=socket.gethostname(), pid=os.getpid(), threads=self.threads, jobs_running=running)

    def end(self, context: Context) -> None:
        try:
            with context.sessions.begin() as session:
                workers.leave(session, self.id)
        except SQLAlchemyError as error:
            log.warning("the worker could not sign off (%s); it is forgotten in an hour", type(error).__name__)
