"""What PostgreSQL alone has to be asked for in a restore, by a role that may create databases and nothing else."""

from uuid import uuid4

import pytest
from sqlalchemy import NullPool, column, create_engine, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

import config
import migrations
from adapters.backups import make_vault
from adapters.restores import make_restorer
from adapters.restores.postgres import PostgresSwap, YoungRows
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import driver_url
from domain.identity.models import Admin
from domain.restores.restorer import Order
from tests.factories import make_admin

NUMBERS = table("numbers", column("number"))


@pytest.fixture
def live(postgres):
    """A database with one table, and what exchanges it."""
    postgres.execute("create role plain login createdb")
    postgres.execute("create database live owner plain")
    url = postgres.url("live").replace("//postgres@", "//plain@")
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql("create table numbers as select 1 as number")
    yield PostgresSwap(url)
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select format('drop database %I with (force)', datname) from pg_database where datdba = 'plain'::regrole")
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
        cursor.execute("drop role plain")


def engine_of(url):
    return create_engine(url if isinstance(url, URL) else driver_url(url), poolclass=NullPool)


def facts(postgres, database):
    """What belongs to a database beside its tables."""
    settings = "select coalesce(setrole::regrole::text, ''), unnest(setconfig) from pg_db_role_setting s where setdatabase = d.oid"
    question = f"select datconnlimit, array(select row(t.*)::text from ({settings}) t (role, setting) order by 1) from pg_database d"
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"{question} where datname = %s", (database,))
        return cursor.fetchone()


def test_rows_written_since_are_found_however_many_transactions_another_database_begins_meanwhile(live, postgres):
    with live.reading() as reading:
        mark = reading.mark
    with engine_of(live.url).begin() as connection:
        connection.exec_driver_sql("insert into numbers values (2)")
    with live.reading() as reading:
        changes = YoungRows(reading.connection, mark)
        with postgres.connect() as elsewhere, elsewhere.cursor() as cursor:
            for _ in range(1200):
                cursor.execute("select pg_current_xact_id()")
        [young] = changes.of(NUMBERS)
        assert reading.connection.scalars(select(NUMBERS.c.number).where(young)).all() == [2]


def test_settings_of_the_database_come_along_and_what_only_a_superuser_may_set_holds_nothing_up(live, postgres):
    for setting in ('search_path to "$user", public, "a ""b"', "search_path to ''", "work_mem to '5MB'"):
        postgres.execute(f"alter database live set {setting}")
        postgres.execute(f"alter role plain in database live set {setting}")
        postgres.execute("alter database live connection limit 7")
        staged = make_url(live.make_stage(uuid4())).database
        expected = facts(postgres, "live")
        postgres.execute("alter database live set log_min_duration_statement to '1s'")
        live.copy_rights(make_url(live.url).set(database=staged))
        assert facts(postgres, staged) == expected
        postgres.execute("alter database live reset log_min_duration_statement")


def test_what_others_may_do_with_tables_columns_and_schemas_they_may_after_it(live, postgres):
    shape = "create schema reports; create view reports.doubled as select 2 * number as number from numbers"
    with postgres.connect("live") as connection, connection.cursor() as cursor:
        cursor.execute("create role reader; create role auditor")
        cursor.execute(f"set role plain; {shape}; grant usage on schema reports to reader; grant select on reports.doubled to reader")
        cursor.execute("grant select (number) on numbers to auditor")
    staged = make_url(live.make_stage(uuid4()))
    with engine_of(staged).begin() as connection:
        connection.exec_driver_sql(f"create table numbers (number int); {shape}")
    live.copy_rights(staged)
    with postgres.connect(staged.database) as connection, connection.cursor() as cursor:
        cursor.execute("set role reader; select * from reports.doubled")
        cursor.execute("set role auditor; select number from numbers")
        cursor.execute("reset role; drop owned by reader, auditor")
    with postgres.connect("live") as connection, connection.cursor() as cursor:
        cursor.execute("drop owned by reader, auditor; drop role reader, auditor")


def test_what_was_taken_from_everybody_stays_taken_and_what_is_granted_on_new_tables_too(live, postgres):
    routine = "create function public.reckon(int, text) returns int language sql security definer as 'select 1'"
    with postgres.connect("live") as connection, connection.cursor() as cursor:
        cursor.execute("create role reader; create role auditor; create role stranger")
        cursor.execute("alter database live owner to plain; comment on database live is 'Money''s own'")
        cursor.execute(f"set role plain; {routine}; revoke all on function public.reckon from public")
        cursor.execute("grant execute on function public.reckon to reader; grant select on numbers to reader with grant option")
        cursor.execute("revoke all on database live from public; revoke usage on schema public from public")
        cursor.execute("grant usage on schema public to reader, auditor; alter default privileges revoke execute on functions from public")
        cursor.execute("alter default privileges grant select on tables to auditor")
        cursor.execute("alter default privileges in schema public grant usage on sequences to auditor")
        cursor.execute("reset role; alter default privileges grant select on tables to reader")  # a superuser's own
    staged = make_url(live.make_stage(uuid4()))
    with engine_of(staged).begin() as connection:
        connection.exec_driver_sql(f"create table numbers (number int); {routine}")
    live.copy_rights(staged)
    with engine_of(staged).begin() as connection:
        connection.exec_driver_sql("create table later (id serial); create function public.later() returns int language sql as 'select 1'")
    with postgres.connect(staged.database) as connection, connection.cursor() as cursor:
        cursor.execute("select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()")
        assert cursor.fetchone() == ("Money's own",)
        cursor.execute("select has_database_privilege('stranger', current_database(), 'connect')")
        assert cursor.fetchone() == (False,)
        for role, can in (("stranger", (False, False, False)), ("reader", (True, False, True)), ("auditor", (False, False, True))):
            cursor.execute(
                "select has_function_privilege(%(role)s, 'reckon(int, text)', 'execute'),"
                " has_function_privilege(%(role)s, 'later()', 'execute'), has_schema_privilege(%(role)s, 'public', 'usage')",
                {"role": role},
            )
            assert (role, *cursor.fetchone()) == (role, *can)
        for role, can in (("stranger", (False, False, False)), ("reader", (True, False, False)), ("auditor", (False, True, True))):
            cursor.execute(
                "select has_table_privilege(%(role)s, 'numbers', 'select with grant option'),"
                " has_table_privilege(%(role)s, 'later', 'select'), has_sequence_privilege(%(role)s, 'later_id_seq', 'usage')",
                {"role": role},
            )
            assert (role, *cursor.fetchone()) == (role, *can)
        cursor.execute("drop owned by reader, auditor")
    with postgres.connect("live") as connection, connection.cursor() as cursor:
        cursor.execute("drop owned by reader, auditor; drop role reader, auditor, stranger")


def test_what_is_carried_goes_into_the_schema_that_the_portals_tables_are_in(live, postgres, tmp_path):
    """Where that is one of its own, named in the settings of the database."""
    url = live.url.render_as_string(hide_password=False)
    with postgres.connect("live") as connection, connection.cursor() as cursor:
        cursor.execute("create schema app authorization plain; alter database live set search_path to app, public")
    migrations.upgrade(url)
    settings = config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path), "DATABASE_URL": url})
    vault = make_vault(settings)
    made = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), silent)
    assert "audit_entries" in made.row_counts
    with Session(engine_of(url)) as session:
        make_admin(session, email="new@example.com")
        session.commit()
    make_restorer(settings, vault).restore(Order(uuid4(), "Asha Rao", backup_id=made.id), silent, lambda: None)
    with Session(engine_of(url)) as session:
        assert session.scalars(select(Admin.email)).all() == ["new@example.com"]


def silent(percent, stage):
    pass
