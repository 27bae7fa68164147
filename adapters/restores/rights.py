"""What belongs to a database of PostgreSQL beside its rows: its settings, and what others than its owner may do.

No backup has it, since the roles may be gone when it is restored: it is taken from the live database. What is not there in the other one,
and what only a superuser may give, is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from psycopg2 import errors, sql
from sqlalchemy import Connection, text

from adapters import databases

log = logging.getLogger(__name__)

OTHERS_MAY = """(
        SELECT coalesce(jsonb_agg(jsonb_build_array(coalesce(rolname, ''), privilege_type, is_grantable)), '[]')
        FROM aclexplode(acl) g LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE g.grantee <> owner
    )"""
ON_DATABASE = (
    f"SELECT {OTHERS_MAY} FROM (SELECT datacl AS acl, datdba AS owner FROM pg_database WHERE datname = %s) d WHERE acl IS NOT NULL"
)
INSIDE = f"""
    WITH schemas AS (
        SELECT oid, nspname, nspacl, nspowner FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'
    ), relations AS (
        SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, nspname, c.oid, relname, relacl, relowner
        FROM pg_class c JOIN schemas n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ), things (kind, schema, name, part, acl, owner, of, id, place) AS (
        SELECT 'SCHEMA', NULL, nspname, NULL, nspacl, nspowner, 'pg_namespace'::regclass, oid, 0 FROM schemas
        UNION ALL SELECT kind, nspname, relname, NULL, relacl, relowner, 'pg_class'::regclass, oid, 0 FROM relations
        UNION ALL SELECT kind, nspname, relname, attname, attacl, relowner, 'pg_class'::regclass, oid, attnum
            FROM relations JOIN pg_attribute ON attrelid = oid
        UNION ALL SELECT 'ROUTINE', nspname, proname, pg_get_function_identity_arguments(p.oid), proacl, proowner,
            'pg_proc'::regclass, p.oid, 0 FROM pg_proc p JOIN schemas n ON n.oid = pronamespace
    )
    SELECT kind, schema, name, part, {OTHERS_MAY} FROM things LEFT JOIN pg_init_privs ON (classoid, objoid, objsubid) = (of, id, place)
    WHERE acl IS DISTINCT FROM initprivs AND acl IS NOT NULL -- what an extension gives comes with it
"""
DEFAULTS = f"""
    SELECT pg_get_userbyid(owner), nspname, kind, {OTHERS_MAY}
    FROM (SELECT defaclrole AS owner, defaclnamespace, defaclobjtype::text AS kind, defaclacl AS acl FROM pg_default_acl) d
    LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
"""
KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "ROUTINES", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
NOT_THERE = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedObject, errors.InvalidSchemaName, errors.UndefinedFunction)
SUPERUSERS_OWN = "SELECT 'extension ' || extname FROM pg_extension UNION ALL SELECT 'publication ' || pubname FROM pg_publication"

NOTHING = sql.SQL("")

Given = Sequence[tuple[str, str, bool]]
"""To whom ('' is everybody), what, and whether they may pass it on."""


def copy_to_database(cursor: Any, live: str, staged: str) -> None:
    """Settings, limit, comment, and who may connect. The cursor commits each statement, in a database beside the two."""
    databases.copy_settings(cursor, live, staged)
    cursor.execute("SELECT datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (live,))
    limit, comment = cursor.fetchone()
    name = sql.Identifier(staged)
    cursor.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(limit)))
    cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(comment)))
    cursor.execute(ON_DATABASE, (live,))
    for (given,) in cursor.fetchall():
        give(cursor, sql.SQL("DATABASE {}").format(name), given)


def copy_inside(live: Connection, cursor: Any) -> None:
    """What may be done with schemas, tables, columns, sequences and routines, and with those that will be made. The cursor commits each
    statement, in the database that gets it."""
    had = set(live.scalars(text(SUPERUSERS_OWN)))
    cursor.execute(SUPERUSERS_OWN)
    if lacking := had - {name for (name,) in cursor.fetchall()}:
        log.warning("to be made anew by a superuser after the restore: %s", ", ".join(sorted(lacking)))
    for kind, schema, name, part, given in live.execute(text(INSIDE)):
        called = sql.Identifier(schema, name) if schema else sql.Identifier(name)
        if kind == "ROUTINE":
            called = sql.SQL("{}({})").format(called, sql.SQL(part))
        column = sql.SQL("({})").format(sql.Identifier(part)) if part and kind != "ROUTINE" else NOTHING
        with suppress(*NOT_THERE):
            give(cursor, sql.SQL("{} {}").format(sql.SQL(kind), called), given, column)
    for owner, schema, kind, given in live.execute(text(DEFAULTS)):
        start = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} ").format(sql.Identifier(owner))
        where = sql.SQL("IN SCHEMA {} ").format(sql.Identifier(schema)) if schema else NOTHING
        if kind in KINDS:
            with suppress(*NOT_THERE):
                give(cursor, sql.SQL(KINDS[kind]), given, beginning=start + where)


def give(
    cursor: Any,
    what: sql.Composable,
    given: Given,
    column: sql.Composable = NOTHING,
    beginning: sql.Composable = NOTHING,
) -> None:
    """Exactly this: what everybody may do with anything new, as calling a function, they may do no more where it was taken away."""
    try:
        cursor.execute(beginning + sql.SQL("REVOKE ALL {} ON {} FROM PUBLIC").format(column, what))
        for role, right, pass_on in given:
            whom = sql.Identifier(role) if role else sql.SQL("PUBLIC")
            ending = sql.SQL(" WITH GRANT OPTION" if pass_on else "")
            cursor.execute(beginning + sql.SQL("GRANT {} {} ON {} TO {}").format(sql.SQL(right), column, what, whom) + ending)
    except errors.InsufficientPrivilege as error:
        log.warning(
            "to be granted anew by a superuser after the restore: %s on %s (%s)", words(given), what.as_string(cursor), str(error).strip()
        )


def words(given: Given) -> str:
    return ", ".join(f"{right} to {role or 'PUBLIC'}" for role, right, _ in given) or "nothing to PUBLIC"
