"""Databases of PostgreSQL that a role which may create some drops again, whoever is in them."""

import time
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import errors

from adapters import databases
from tests.servers.postgres import EAGER_VACUUM, Postgres

pytestmark = pytest.mark.processes


@pytest.fixture
def cursor(plain_role):
    with closing(psycopg2.connect(plain_role.url("postgres").replace("//postgres@", "//plain@"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@pytest.fixture(scope="module")
def plain_role():
    with Postgres(settings=EAGER_VACUUM) as server:
        server.execute("create role plain login createdb")
        yield server


def names(cursor):
    cursor.execute("select datname from pg_database")
    return {name for (name,) in cursor.fetchall()}


def test_one_that_is_being_vacuumed_is_dropped(cursor, plain_role):
    cursor.execute("create database vacuumed")
    with closing(psycopg2.connect(plain_role.url("vacuumed").replace("//postgres@", "//plain@"))) as connection:
        with connection.cursor() as filling:
            filling.execute("create table rows as select generate_series(1, 50000) as number")
        connection.commit()
        plain_role.vacuuming("vacuumed")
        databases.drop(cursor, "vacuumed")
    assert "vacuumed" not in names(cursor)
    databases.drop(cursor, "vacuumed")


def test_one_that_a_superuser_stays_in_is_not_and_the_wait_has_an_end(cursor, plain_role, monkeypatch):
    monkeypatch.setattr(databases, "LEAVING_SECONDS", 0.1)
    cursor.execute("create database visited")
    with plain_role.connect("visited") as staying:
        began = time.monotonic()
        with pytest.raises(errors.ObjectInUse):
            databases.drop(cursor, "visited")
        assert time.monotonic() - began < 60
        assert staying.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    databases.drop(cursor, "visited")
    assert "visited" not in names(cursor)


@pytest.mark.parametrize("name", ["portal", "p" * 63, "बाज़ारपोर्टलपरीक्षणआधार", "é" * 31])
def test_what_is_named_for_one_is_never_cut_to_its_name(name):
    named = databases.named_for(name, "_stage_0123456789ab")
    assert named.endswith("_stage_0123456789ab")
    assert len(named.encode()) <= 63
    assert named.startswith(name[:14])


@pytest.mark.parametrize("kind", ["encoding LATIN1 locale 'C'", "locale_provider icu icu_locale 'de-u-co-phonebk'"])
def test_one_made_like_another_takes_and_sorts_what_that_does(kind, cursor):
    cursor.execute(f"create database model template template0 {kind}")
    databases.create_like(cursor, "model", 'its "twin"')
    facts = "encoding, datcollate, datctype, datlocprovider, daticulocale"
    cursor.execute(f"select count(distinct ({facts})), count(*) from pg_database where datname in ('model', 'its \"twin\"')")
    assert cursor.fetchone() == (1, 2)
    for name in ("model", 'its "twin"'):
        databases.drop(cursor, name)
