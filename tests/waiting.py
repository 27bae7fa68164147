"""Waiting for something to become true, with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(check: Callable[[], T], what: str, seconds: float = 10) -> T:
    """What `check` returns once it is truthy; an AssertionError naming `what` when it is not in time."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return found


def within(seconds: float, act: Callable[[], T]) -> T:
    """What `act` returns. Of three tries one must take less than so many seconds: a busy machine can spoil the others."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        found = act()
        took.append(time.monotonic() - began)
        if took[-1] < seconds:
            return found
    raise AssertionError(f"it took {', '.join(f'{each:.1f}' for each in took)} s, and never less than {seconds:g}")
