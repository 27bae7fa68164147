"""One database for all the tests of a process, as good as new before each: to empty one is far cheaper than to make one."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.servers.postgres import Postgres


class SqliteDatabase:
    """A file, copied anew over the old one."""

    def __init__(self, template: Path, file: Path):
        self._template, self._file = template, file
        self.url = f"sqlite:///{file}"

    def renew(self) -> str:
        """Its URL. Whoever still has the old file open keeps one without a name."""
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        shutil.copy(self._template, self._file)
        return self.url


# All that a test may change beside rows. A table's own line in pg_class is left out: TRUNCATE writes it anew.
SHAPE = """
    select md5(string_agg(part, ' ' order by part)) from (
        select relname || relkind::text from pg_class where relnamespace = 'public'::regnamespace
        union all select concat(attrelid, attname, a.xmin) from pg_attribute a join pg_class c on c.oid = attrelid
            where relnamespace = 'public'::regnamespace
        union all select concat(oid, xmin) from pg_constraint where connamespace = 'public'::regnamespace
        union all select concat(oid, xmin) from pg_proc where pronamespace = 'public'::regnamespace
        union all select concat(oid, xmin) from pg_trigger
        union all select concat(setdatabase, setrole, setconfig) from pg_db_role_setting
    ) as parts (part)
"""
TABLES = "select relname::text, pg_relation_size(oid) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
SEQUENCES = "select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) from pg_sequences"
OTHERS = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
QUICKER_TO_TRUNCATE = 1_000_000  # bytes


class PostgresDatabase:
    """A database whose rows are put back to those of its template; made anew where a test changed more than rows."""

    NAME = "tests"

    def __init__(self, server: Postgres, template: str):
        self._server, self._template = server, template
        self._made: tuple[str, dict[str, Any]] | None = None
        self.url = server.url(self.NAME)

    def renew(self) -> str:
        """Its URL. Whoever was connected is no more."""
        if self._made is None or not self._put_back(*self._made):
            self._made = self._make()
        return self.url

    def _make(self) -> tuple[str, dict[str, Any]]:
        """Make the database; answer its shape, and the rows of each table as JSON."""
        self._server.drop_database(self.url)
        self._server.new_database(self._template, name=self.NAME)
        with self._server.connect(self.NAME) as connection, connection.cursor() as cursor:
            rows = {}
            cursor.execute(TABLES)
            for table, _ in cursor.fetchall():
                cursor.execute(sql.SQL("select json_agg(t)::text from {} t").format(sql.Identifier(table)))
                [rows[table]] = cursor.fetchone()
            cursor.execute(SHAPE)
            return cursor.fetchone()[0], rows

    def _put_back(self, shape: str, rows: dict[str, Any]) -> bool:
        """Whether it is as it was made: not where its tables, triggers or settings are others, or it is gone."""
        try:
            with self._server.connect(self.NAME) as connection, connection.cursor() as cursor:
                cursor.execute(OTHERS)
                cursor.execute(SHAPE)
                if cursor.fetchone()[0] != shape:
                    return False
                cursor.execute(TABLES)
                large = [table for table, size in cursor if size > QUICKER_TO_TRUNCATE]
                cursor.execute(sql.SQL("; ").join(refilling(rows, large)))
        except psycopg2.OperationalError:
            return False
        return True


def refilling(rows: dict[str, Any], large: list[str]) -> Iterator[sql.Composable]:
    """The statements that leave each table with these rows, each written as JSON, and no others."""
    yield sql.SQL("begin")
    yield sql.SQL("set local session_replication_role = replica")  # no trigger fires and the order of the tables is all one
    yield sql.SQL("set local lock_timeout = '10s'")
    yield sql.SQL(SEQUENCES)
    for table in large:
        yield sql.SQL("truncate {} cascade").format(sql.Identifier(table))
    for table, kept in rows.items():
        name = sql.Identifier(table)
        yield sql.SQL("delete from {}").format(name)
        if kept:
            yield sql.SQL("insert into {0} select * from json_populate_recordset(null::{0}, {1})").format(name, sql.Literal(kept))
    yield sql.SQL("commit")
