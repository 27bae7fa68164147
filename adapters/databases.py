"""Databases of PostgreSQL beside the portal's own, seen from a role that may create some and nothing else."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from psycopg2 import errors, sql
from sqlalchemy.engine import URL

log = logging.getLogger(__name__)

LONGEST_NAME = 63  # bytes; PostgreSQL cuts a longer one, and what is left may be another database's
LEAVING_SECONDS = 5.0
"""What PostgreSQL itself waits for others to leave a database that is renamed or dropped."""
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")  # the last since 17
LISTS_OF_NAMES = ("search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries")
NAMES = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL AND pid IS DISTINCT FROM %s"


def arguments(url: URL) -> dict[str, Any]:
    """The connection as libpq takes it, with whatever the URL says of TLS, several hosts and options."""
    return dict(url.get_dialect()().create_connect_args(url)[1])


def take_time(connection: Any, _record: Any = None) -> None:
    """No limit that somebody has set for the role or the database holds on this connection: what takes longest is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", (list(LIMITS),))
    connection.commit()


def named_for(database: str, ending: str) -> str:
    """The name of one that stands beside it."""
    return database.encode()[: LONGEST_NAME - len(ending)].decode(errors="ignore") + ending


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


def create_like(cursor: Any, model: str, name: str) -> None:
    """An empty one, in which every text fits that fits into the model, and is sorted as there; the server's own way may be another."""
    question = (
        "SELECT pg_encoding_to_char(encoding), to_jsonb(d), CASE WHEN pg_has_role(datdba, 'USAGE') THEN pg_get_userbyid(datdba) END,"
        " CASE WHEN has_tablespace_privilege(t.oid, 'CREATE') THEN spcname END"
        " FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = %s"
    )
    cursor.execute(question, (model,))
    encoding, facts, owner, tablespace = cursor.fetchone()
    options = {"TEMPLATE": "template0", "ENCODING": encoding, "LC_COLLATE": facts["datcollate"], "LC_CTYPE": facts["datctype"]}
    if provider := PROVIDERS.get(facts.get("datlocprovider")):  # since 15
        options["LOCALE_PROVIDER"] = provider
        locale = facts.get("datlocale") or facts.get("daticulocale")  # by another name since 17
        options |= {f"{provider.upper()}_LOCALE": locale} if locale else {}
        options |= {"ICU_RULES": facts["daticurules"]} if facts.get("daticurules") else {}
    settings = [sql.SQL("{} {}").format(sql.SQL(option), sql.Literal(value)) for option, value in options.items()]
    allowed = {"OWNER": owner, "TABLESPACE": tablespace}
    settings += [sql.SQL("{} {}").format(sql.SQL(option), sql.Identifier(value)) for option, value in allowed.items() if value]
    cursor.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(" ").join(settings)))
    copy_settings(cursor, model, name)


def copy_settings(cursor: Any, model: str, name: str) -> None:
    """Among them in which schemas tables are looked for. What only a superuser may set is set anew by one."""
    question = (
        "SELECT r.rolname, unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = %s"
    )
    cursor.execute(question, (model,))
    for role, line in cursor.fetchall():
        setting, value = line.split("=", 1)
        whose = sql.SQL("ALTER ROLE {} IN").format(sql.Identifier(role)) if role else sql.SQL("ALTER")
        statement = sql.SQL("{} DATABASE {} SET {} TO {}")
        try:
            cursor.execute(statement.format(whose, sql.Identifier(name), sql.Identifier(setting), written_out(setting, value)))
        except (errors.InsufficientPrivilege, errors.UndefinedObject, errors.UndefinedFile) as error:
            log.warning("%s of the database %s is not set in what stands beside it: %s", setting, model, str(error).strip())


def written_out(setting: str, value: str) -> sql.Composable:
    """A list of names is kept as it would be written, each name quoted where it has to be: as one value it would be one strange name."""
    if setting not in LISTS_OF_NAMES:
        return sql.Literal(value)
    return sql.SQL(", ").join(sql.Literal(quoted.replace('""', '"') or bare) for quoted, bare in NAMES.findall(value))
