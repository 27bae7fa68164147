"""Makes one SQLite database equal to another by exchanging only those rows that differ, in one transaction.

Rows are told apart by their numbers (rowid), in whose order both files are: comparing takes about as long as reading. A row can differ in
the end only if it did when all were compared, or was written in one of both since (`written`), so that only these few are looked at again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.restores.written import WRITTEN, tables
from domain.db import address_of

WAIT_SECONDS = 30.0
ROWS_PER_PAGE = 0.5
"""As many rows may be exchanged, for each page there is; for more, it is faster to copy all pages."""
LEAST_ROWS = 1000
FOUND = ".rows"


@dataclass(frozen=True)
class Shape:
    table: str
    columns: tuple[str, ...]
    numbered_by: str | None  # a column that is the row's number

    @property
    def inserted(self) -> str:
        numbered = () if self.numbered_by else ("rowid",)
        return ", ".join(f'"{name}"' for name in (*numbered, *self.columns))

    @property
    def differs(self) -> str:
        """To the byte: a column's own collation may not see the case of a letter."""
        return " OR ".join(f'a."{name}" COLLATE BINARY IS NOT b."{name}"' for name in self.columns)


class Merging:
    """A connection to the database that is to change, with the `other` one beside it, and the rows found to differ in a file of their
    own beside what was put together."""

    def __init__(self, target: Path, other: Path, found: Path):
        self.connection = sqlite3.connect(address_of(target, "mode=rw"), uri=True, isolation_level=None, timeout=WAIT_SECONDS)
        self.connection.execute("PRAGMA foreign_keys=OFF")  # both are whole, each in itself
        self.connection.execute("ATTACH ? AS other", (address_of(other, "mode=ro"),))
        self.connection.execute("ATTACH ? AS found", (address_of(found, "mode=rwc"),))
        self.connection.execute("PRAGMA found.journal_mode=OFF")
        self.connection.execute("PRAGMA found.synchronous=OFF")  # what a crash leaves of it is thrown away

    def __enter__(self) -> Merging:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def count(self, question: str) -> int:
        return int(self.connection.execute(question).fetchone()[0])

    def shapes(self) -> list[Shape]:
        return [self.shape("main", table) for table in tables(self.connection)]

    def shape(self, database: str, table: str) -> Shape:
        columns = self.connection.execute(f'PRAGMA {database}.table_info("{table}")').fetchall()
        keys = [(name, type) for _, name, type, _, _, key in columns if key]
        numbered_by = keys[0][0] if len(keys) == 1 and keys[0][1].upper() == "INTEGER" else None
        return Shape(table, tuple(column[1] for column in columns), numbered_by)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise

    def compare(self) -> set[str]:
        """Find the rows that only one of both has, or that are not alike; answers the tables that could be compared."""
        self.connection.execute("DROP TABLE IF EXISTS found.differing")
        self.connection.execute("CREATE TABLE found.differing (tbl TEXT, row INTEGER, PRIMARY KEY (tbl, row)) WITHOUT ROWID")
        with self.transaction():
            alike = [shape for shape in self.shapes() if shape == self.shape("other", shape.table)]
            for shape in alike:
                self.compare_table(shape)
        return {shape.table for shape in alike}

    def compare_table(self, shape: Shape) -> None:
        table = shape.table
        into = "INSERT INTO found.differing SELECT '{}', {}.rowid"
        self.connection.execute(
            f"""{into.format(table, "a")} FROM main."{table}" a
            LEFT JOIN other."{table}" b ON b.rowid = a.rowid WHERE b.rowid IS NULL OR {shape.differs}"""
        )
        only_here = self.count(
            f"""SELECT count(*) FROM found.differing f LEFT JOIN other."{table}" b ON b.rowid = f.row
            WHERE f.tbl = '{table}' AND b.rowid IS NULL"""
        )
        here, there = (self.count(f'SELECT count(*) FROM {database}."{table}"') for database in ("main", "other"))
        if there > here - only_here:  # else both have the same ones, and need not be read again
            self.connection.execute(
                f"""{into.format(table, "b")} FROM other."{table}" b NOT INDEXED
                WHERE NOT EXISTS (SELECT 1 FROM main."{table}" a WHERE a.rowid = b.rowid)"""
            )

    def rows_found(self, table: str) -> Iterator[int]:
        return (row for (row,) in self.connection.execute("SELECT row FROM found.differing WHERE tbl = ?", (table,)))

    def rows_written(self, table: str) -> Iterator[int]:
        """In what this connection may change."""
        return (row for (row,) in self.connection.execute(f"SELECT row FROM main.{WRITTEN} WHERE tbl = ?", (table,)))

    def is_of_one_schema(self) -> bool:
        ours = f"name NOT LIKE 'sqlite~_%' ESCAPE '~' AND substr(name, 1, {len(WRITTEN)}) <> '{WRITTEN}'"
        ours = f"SELECT type, name, tbl_name, sql FROM {{}}.sqlite_master WHERE {ours} ORDER BY type, name"
        return self.connection.execute(ours.format("main")).fetchall() == self.connection.execute(ours.format("other")).fetchall()

    def is_worth_it(self) -> bool:
        few = max(LEAST_ROWS, self.count("PRAGMA main.page_count") * ROWS_PER_PAGE)
        rows = sum(self.count(f"SELECT count(*) FROM {put}") for put in ("found.differing", f"main.{WRITTEN}", f"other.{WRITTEN}"))
        return rows <= few and self.is_of_one_schema()

    def lock(self) -> None:
        """Begin a transaction that writes in the one database, and has not read the other yet."""
        self.connection.execute("BEGIN")
        self.connection.execute(f"DELETE FROM main.{WRITTEN} WHERE 0")

    def pin(self) -> None:
        """Begin a transaction that goes on reading the other database as it is now."""
        self.connection.execute("BEGIN")
        self.connection.execute("SELECT count(*) FROM other.sqlite_master").fetchone()

    def merge(self) -> bool:
        """Make it equal, within the transaction that has begun; False where it did not become so, and is to be rolled back."""
        shapes = self.shapes()
        triggers = self.connection.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            self.connection.execute(f'DROP TRIGGER main."{name}"')
        self.connection.execute("CREATE TEMP TABLE changing (row INTEGER PRIMARY KEY)")
        equal = all(self.merge_table(shape) for shape in shapes)
        self.connection.execute("DROP TABLE temp.changing")
        self.connection.execute(f"DROP TABLE main.{WRITTEN}")
        for name, statement in triggers:
            if not name.startswith(WRITTEN):
                self.connection.execute(statement)
        return equal

    def merge_table(self, shape: Shape) -> bool:
        table = shape.table
        self.connection.execute("DELETE FROM temp.changing")
        looked_at = " UNION ".join(
            f"SELECT row FROM {rows} WHERE tbl = '{table}'" for rows in ("found.differing", f"main.{WRITTEN}", f"other.{WRITTEN}")
        )
        if self.connection.execute(looked_at).fetchone() is None:
            return True
        self.connection.execute(
            f"""INSERT INTO temp.changing SELECT c.row FROM ({looked_at}) c
            LEFT JOIN main."{table}" a ON a.rowid = c.row LEFT JOIN other."{table}" b ON b.rowid = c.row
            WHERE (a.rowid IS NULL) <> (b.rowid IS NULL) OR {shape.differs}"""
        )
        self.connection.execute(f'DELETE FROM main."{table}" WHERE rowid IN (SELECT row FROM temp.changing)')
        self.connection.execute(
            f"""INSERT INTO main."{table}" ({shape.inserted})
            SELECT {shape.inserted} FROM other."{table}" WHERE rowid IN (SELECT row FROM temp.changing)"""
        )
        here, there = (self.count(f'SELECT count(*) FROM {database}."{table}"') for database in ("main", "other"))
        return here == there
