"""The bell: Huey on SQLite or Redis, carrying the ids of jobs that can be claimed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from huey import RedisHuey, SqliteHuey
from huey.serializer import SignedSerializer
from redis import ConnectionPool

from config import Config

log = logging.getLogger(__name__)

REDIS_SECONDS = 2.0


def make_queue(config: Config) -> Any:
    """Whoever can write to Redis could have a worker unpickle anything, so messages are signed."""
    settings: dict[str, Any] = {
        "name": "portal",
        "results": False,
        "utc": True,
        "serializer": SignedSerializer(secret=config.derived_key("queue").hex(), salt="portal-queue"),
    }
    if config.redis_url:
        pool = ConnectionPool.from_url(config.redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
        return RedisHuey(connection_pool=pool, **settings)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(filename=str(config.data_dir / "queue.db"), timeout=30, **settings)


class Bell:
    """Rings for a job. A ring that is lost costs time, not the job: the sweep rings again."""

    def __init__(self, config: Config, run: Callable[[UUID], None] | None = None):
        self.config = config
        self.run = run
        self._queue: Any = None
        self._task: Any = None

    @property
    def queue(self) -> Any:
        """Made on first use, so that a web process that never rings never opens it."""
        if self._queue is None:
            self._queue = make_queue(self.config)
            self._task = self._queue.task(name="run_job")(self.answer)
        return self._queue

    def ring(self, job_id: UUID) -> None:
        """Never raises: the job is committed, and a broken bell must not make its request look as if it had failed."""
        try:
            assert self.queue is not None
            self._task(str(job_id))
        except Exception:
            log.exception("the queue could not be told of job %s; the sweep will", job_id)

    def answer(self, job_id: str) -> None:
        assert self.run is not None, "only a worker answers"
        self.run(UUID(job_id))
