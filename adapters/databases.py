"""Databases of PostgreSQL beside the portal's own, seen from a role that may create some and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from psycopg2 import errors, sql

LEAVING_SECONDS = 5.0
"""What PostgreSQL itself waits for others to leave a database that is renamed or dropped."""
OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL AND pid IS DISTINCT FROM %s"


def send_away(cursor: Any, database: str, ours: int | None = None, still: Callable[[], bool] = lambda: True) -> bool:
    """End everybody's connection to the database but ours; false where they do not go in time, or it is no use any more. Who has no user
    is vacuuming: only a superuser may end that, and renaming or dropping the database does."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while still() and time.monotonic() < deadline:
        cursor.execute(OTHERS, (database, ours))
        others = [pid for (pid,) in cursor.fetchall()]
        if not others:
            return True
        for pid in others:
            with suppress(errors.InsufficientPrivilege):
                cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        time.sleep(0.005)
    return False


def drop(cursor: Any, database: str) -> None:
    """If there is one. Not by FORCE, which lets nobody but a superuser drop what is being vacuumed. Raises errors.ObjectInUse where
    somebody stays who cannot be sent away."""
    send_away(cursor, database)
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(database)))
