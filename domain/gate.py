"""Keeps writers of a SQLite database out for a moment, whichever process they are in.

Whoever is about to put other contents into the database shuts the gate; a writer that has the write lock looks at it and, where it is
shut, lets go and waits. It is a lock on a file beside the database, so it opens by itself when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENDING = ".gate"


def is_shut(database: str) -> bool:
    try:
        descriptor = os.open(database + ENDING, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # it was never shut
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def shut(database: str) -> Iterator[None]:
    """From the next write lock on, nobody writes. Who has one already goes on: take it yourself before you rely on the gate."""
    descriptor = os.open(database + ENDING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        open_to_writers_of(database, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # who looks holds it for an instant
        yield
    finally:
        os.close(descriptor)


def open_to_writers_of(database: str, descriptor: int) -> None:
    """Whoever may write the database must be able to look: also where root, or another of its group, shuts the gate for the first time."""
    facts = Path(database).stat()
    with suppress(PermissionError):  # another made it, and has seen to it
        os.fchmod(descriptor, facts.st_mode & 0o666)
        if os.geteuid() == 0:
            os.fchown(descriptor, facts.st_uid, facts.st_gid)
