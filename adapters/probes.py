"""One question to each service, asked on a connection of its own and with little patience."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

import redis

from domain.db import address_of
from domain.health.report import Service, Status
from domain.storage import Space, Storage, StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")
PROBE_SECONDS = 2.0
MEGABYTE, GIGABYTE = 1024 * 1024, 1_000_000_000
LITTLE_SPACE, TOO_LITTLE_SPACE = 1_000_000_000, 100_000_000
NEARLY_FULL = 0.9


class Asked(Generic[T]):
    """A question being answered in a thread of its own, so that nobody waits longer than they want to."""

    def __init__(self, name: str, question: Callable[[], T], otherwise: Callable[[Exception], T]):
        self.answers: SimpleQueue[T] = SimpleQueue()
        self.question, self.otherwise = question, otherwise
        Thread(target=self.run, name=name, daemon=True).start()

    def run(self) -> None:
        try:
            self.answers.put(self.question())
        except Exception as error:  # noqa: BLE001  one broken question must not hide the others' answers
            self.answers.put(self.otherwise(error))

    def within(self, ends: float) -> T | None:
        """The answer, if it comes before that moment of the monotonic clock."""
        try:
            return self.answers.get(timeout=max(ends - time.monotonic(), 0.001))
        except Empty:
            return None


class Kept(Generic[T]):
    """The newest answer to a question that costs something, asked again when it is old, and by one at a time: a service that hangs
    holds one thread, whoever asks."""

    def __init__(self, name: str, question: Callable[[], T], seconds: float):
        self.name, self.question, self.seconds = name, question, seconds
        self.lock = Lock()
        self.answer: T | None = None
        self.answered_at = self.began_at = 0.0
        self.asking: Thread | None = None

    def within(self, ends: float) -> T | None:
        with self.lock:
            if self.answer is not None and time.monotonic() - self.answered_at < self.seconds:
                return self.answer
            if self.asking is None or not self.asking.is_alive():
                self.asking, self.began_at = Thread(target=self.ask, name=self.name, daemon=True), time.monotonic()
                self.asking.start()
            elif time.monotonic() - self.began_at > PROBE_SECONDS:
                return None
            asking = self.asking
        asking.join(max(ends - time.monotonic(), 0.001))
        return None if asking.is_alive() else self.answer

    def ask(self) -> None:
        try:
            answer = self.question()
        except Exception:
            log.exception("the question of %s itself failed", self.name)
            return
        with self.lock:
            self.answer, self.answered_at = answer, time.monotonic()


def ask_redis(url: str) -> Service:
    try:
        client = redis.Redis.from_url(url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS, retry=None)
        with closing(client):
            client.ping()
            began = time.perf_counter()
            client.ping()
            latency = milliseconds(began)
            told: dict[str, Any] = client.info("memory")
    except (redis.RedisError, OSError) as error:
        log.warning("redis does not answer: %s", type(error).__name__)
        return Service(Status.UNHEALTHY, why_redis(error))
    used, most = int(told["used_memory"]), int(told.get("maxmemory", 0))
    figures = {
        "latency_ms": latency,
        "memory_used_mb": round(used / MEGABYTE, 1),
        "memory_max_mb": round(most / MEGABYTE, 1) if most else None,
    }
    if not most:
        return Service(Status.HEALTHY, None, figures, {"memory_max_mb": "Redis has no limit set: it may take what the machine has"})
    if used > NEARLY_FULL * most:
        return Service(Status.DEGRADED, "Its memory is nearly full", figures)
    return Service(Status.HEALTHY, None, figures)


def why_redis(error: Exception) -> str:
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return "Connection timeout"
    if isinstance(error, redis.AuthenticationError):
        return "Sign-in refused"
    if isinstance(error, redis.BusyLoadingError):
        return "Starting up"
    return "Connection refused" if "refused" in str(error).lower() else "Connection failed"


def ask_storage(storage: Storage) -> Service:
    """Whether it answers and has room; what its files amount to, the database knows."""
    began = time.perf_counter()
    try:
        storage.check()
        latency, space = milliseconds(began), storage.space()
    except StorageError as error:
        return Service(Status.UNHEALTHY, str(error).rstrip("."), {"provider": storage.provider})
    figures = {"provider": storage.provider, "latency_ms": latency, "used_gb": None, "quota_gb": None}
    if space is None:
        return Service(Status.HEALTHY, None, figures, {"quota_gb": "A bucket has no limit of its own"})
    figures |= {"used_gb": gigabytes(space.used), "quota_gb": gigabytes(space.total)}
    return Service(*room(space), figures)


def room(space: Space) -> tuple[Status, str | None]:
    if space.free < TOO_LITTLE_SPACE:
        return Status.UNHEALTHY, "Its disk is full"
    if space.free < LITTLE_SPACE:
        return Status.DEGRADED, "Its disk is nearly full"
    return Status.HEALTHY, None


def ask_queue_file(file: Path) -> str | None:
    """What is wrong with the queue where there is no Redis; None if nothing is."""
    if not file.exists():
        return None  # the first job or worker makes it
    try:
        with closing(sqlite3.connect(address_of(file, "mode=ro"), uri=True, timeout=PROBE_SECONDS)) as opened:
            opened.execute("SELECT count(*) FROM task").fetchone()
    except sqlite3.Error as error:
        log.warning("the queue's file cannot be read: %s", error)
        return "Its file cannot be read"
    return None


def milliseconds(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)


def gigabytes(size: int) -> float:
    return round(size / GIGABYTE, 3)
