"""Which rows of a SQLite database are written from now on: triggers put their numbers down in a table of the same database.

SQLite itself cannot say it, and to compare everything again would keep writers waiting for a second per gigabyte. A row that INSERT OR
REPLACE removes in favour of another is not put down (no trigger fires for it), so whoever relies on this counts the rows in the end.
"""

from __future__ import annotations

import sqlite3

WRITTEN = "restore_written"
COLUMNS = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}


def put_down_from_now_on(connection: sqlite3.Connection) -> None:
    """Begin anew, in a transaction of its own."""
    connection.execute("BEGIN IMMEDIATE")
    remove(connection)
    connection.execute(f"CREATE TABLE {WRITTEN} (tbl TEXT NOT NULL, row INTEGER NOT NULL)")
    connection.execute(f"CREATE INDEX {WRITTEN}_rows ON {WRITTEN} (tbl, row)")
    for table in tables(connection):
        for act, sides in COLUMNS.items():
            puts = "".join(put(table, side) for side in sides)
            connection.execute(f'CREATE TRIGGER "{WRITTEN}_{table}_{act}" AFTER {act} ON "{table}" BEGIN {puts} END')
    connection.execute("COMMIT")


def put(table: str, side: str) -> str:
    """Without ON CONFLICT: in a trigger that of the statement outside would hold."""
    known = f"SELECT 1 FROM {WRITTEN} WHERE tbl = '{table}' AND row = {side}.rowid"
    return f"INSERT INTO {WRITTEN} SELECT '{table}', {side}.rowid WHERE NOT EXISTS ({known});"


def stop(connection: sqlite3.Connection) -> None:
    """Leave the database as it was without all this; nothing is written where there is nothing."""
    if not is_put_down(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    remove(connection)
    connection.execute("COMMIT")


def is_put_down(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (WRITTEN,)).fetchone() is not None


def remove(connection: sqlite3.Connection) -> None:
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        if trigger.startswith(f"{WRITTEN}_"):
            connection.execute(f'DROP TRIGGER "{trigger}"')
    connection.execute(f"DROP TABLE IF EXISTS {WRITTEN}")


def tables(connection: sqlite3.Connection) -> list[str]:
    """Those with data, in the main database of the connection."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name")
    return [name for (name,) in found.fetchall() if name != WRITTEN]
