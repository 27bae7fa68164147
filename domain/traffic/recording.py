"""Counting in memory: what a request pays for being counted is a lock and an addition."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from uuid import UUID, uuid4

from domain.traffic.models import BOUNDS_MS

log = logging.getLogger(__name__)

MOST_ENTRIES = 50_000
"""What is kept while the database is away: some days of the usual kinds of answers, about 10 MB."""

Key = tuple[int, str, int, int]
"""The minute since the epoch, the door, the class of the status, the bound of the time it took."""


@dataclass(frozen=True)
class Batch:
    """`number` counts a process's batches from 1, so that the database can tell whether it has this one."""

    number: int
    counts: Mapping[Key, tuple[int, int]]


class Recorder:
    """One process's counts. `take` and `settle` are for the one thread that writes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.renew()

    def renew(self) -> None:
        """Begin anew as another process: what was counted before a fork is the parent's to write."""
        with self._lock:
            self.process_id: UUID = uuid4()
            self._counting: dict[Key, list[int]] = {}
            self._batch: Batch | None = None
            self._number = 0

    def count(self, door: str, status: int, seconds: float) -> None:
        microseconds = int(seconds * 1_000_000)
        key = (int(time.time()) // 60, door, status // 100, BOUNDS_MS[bisect_left(BOUNDS_MS, microseconds / 1000)])
        with self._lock:
            tally = self._counting.get(key)
            if tally is None:
                self._counting[key] = [1, microseconds]
            else:
                tally[0] += 1
                tally[1] += microseconds

    def take(self) -> Batch:
        """What is to be written next: the batch whose writing is still in doubt, else all that was counted since."""
        with self._lock:
            if self._batch is None:
                self._number += 1
                self._batch = Batch(self._number, {key: (tally[0], tally[1]) for key, tally in self._counting.items()})
                self._counting = {}
            elif len(self._counting) > MOST_ENTRIES:
                dropped = len(self._counting)
                self._counting = {}
                log.error("the database was away for too long: %d entries of request counts were dropped", dropped)
            return self._batch

    def settle(self, batch: Batch) -> None:
        """This batch is in the database."""
        with self._lock:
            if self._batch is batch:
                self._batch = None

    @property
    def has_counts(self) -> bool:
        with self._lock:
            return bool(self._counting) or (self._batch is not None and bool(self._batch.counts))
