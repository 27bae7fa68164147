"""One backup or restore at a time, in whatever process: a lock that its holder's death frees, with no time-out to guess."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.backups.errors import OperationInProgress


@contextmanager
def one_operation(folder: Path) -> Iterator[None]:
    """Raises OperationInProgress at once if another holds it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / "operation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationInProgress from None
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    try:
        with one_operation(folder):
            return False
    except OperationInProgress:
        return True
