"""Times as the archive keeps them: microseconds since 1970, so that they compare and fit in a name."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_LAG = 5_000_000
"""Microseconds that a moment put together again may be older than the one asked for; where nobody looked for longer, there is a gap."""


def micros_now() -> int:
    """Never earlier than the present: what was seen before this was there at that time."""
    return -(-time.time_ns() // 1000)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def as_moment(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)
