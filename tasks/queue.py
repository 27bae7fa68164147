"""The bell: Huey on SQLite or Redis, carrying the ids of jobs that can be claimed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any
from uuid import UUID

from huey import Huey
from huey.serializer import SignedSerializer
from huey.storage import RedisStorage
from redis import ConnectionPool

from config import Config
from tasks.queue_file import QueueFile

log = logging.getLogger(__name__)

QUEUE_SECONDS = 2.0
"""How long a queue that does not answer may hold up a request whose job is already committed."""
SLOW_SECONDS = 0.5
REST_SECONDS = 5.0


def make_queue(config: Config) -> Any:
    """Whoever can write to Redis could have a worker unpickle anything, so messages are signed."""
    settings: dict[str, Any] = {
        "name": "portal",
        "results": False,
        "utc": True,
        "serializer": SignedSerializer(secret=config.derived_key("queue").hex(), salt="portal-queue"),
    }
    if config.redis_url:
        pool = ConnectionPool.from_url(config.redis_url, socket_timeout=QUEUE_SECONDS, socket_connect_timeout=QUEUE_SECONDS)
        return Huey(storage_class=QueueInRedis, connection_pool=pool, **settings)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    return Huey(storage_class=QueueFile, filename=str(config.data_dir / "queue.db"), timeout=QUEUE_SECONDS, **settings)


class QueueInRedis(RedisStorage):
    def enqueue_several(self, messages: Sequence[bytes]) -> None:
        self.conn.lpush(self.queue_key, *messages)


class Bell:
    """Rings for jobs. A ring that is lost costs time, not the job: the sweep rings again."""

    def __init__(self, config: Config, run: Callable[[UUID], None] | None = None):
        self.config = config
        self.run = run
        self._queue: Any = None
        self._task: Any = None
        self._lock = RLock()
        self._rests_until = 0.0

    @property
    def queue(self) -> Any:
        """Made on first use, so that a web process that never rings never opens it."""
        with self._lock:
            if self._queue is None:
                self._queue = make_queue(self.config)
                self._task = self._queue.task(name="run_job")(self.answer)
            return self._queue

    def ring(self, job_ids: Sequence[UUID]) -> None:
        """Never raises: the jobs are committed, and a broken bell must not make their request look as if it had failed.

        A bell that took its time to fail is not tried again for some seconds, so that many rings do not wait one after the other.
        """
        with self._lock:
            began = time.monotonic()
            if began < self._rests_until:
                return
            try:
                self.queue.storage.enqueue_several([self.queue.serialize_task(self._task.s(str(job_id))) for job_id in job_ids])
            except Exception:
                log.exception("the queue could not be told of %d jobs (the first is %s); the sweep will", len(job_ids), job_ids[0])
                if time.monotonic() - began > SLOW_SECONDS:
                    self._rests_until = time.monotonic() + REST_SECONDS

    def answer(self, job_id: str) -> None:
        assert self.run is not None, "only a worker answers"
        self.run(UUID(job_id))
