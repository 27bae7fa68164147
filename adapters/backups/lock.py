"""One backup or restore at a time, in whatever process: a lock that its holder's death frees, with no time-out to guess."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.backups.errors import FolderUnusable, OperationInProgress

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOOKS_TAKE = 0.2
"""Seconds in which whoever only looked has let go again."""


@contextmanager
def one_operation(folder: Path, patience: float = LOOKS_TAKE) -> Iterator[None]:
    """Raises OperationInProgress if another holds it, and goes on doing so; FolderUnusable."""
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "operation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise OperationInProgress from None
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    try:
        with one_operation(folder, patience=0):
            return False
    except OperationInProgress:
        return True
    except (FolderUnusable, OSError):  # whoever wants to work there is told
        return False


def check_writable(folder: Path) -> None:
    """Raises FolderUnusable."""
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            refused = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(refused, os.strerror(refused))


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """What speaks against reading or writing in the folder, in words; a full disk speaks for itself."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        raise FolderUnusable(folder, error.strerror) from None
