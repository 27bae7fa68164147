"""What PostgreSQL alone has to be asked for in a restore."""

import pytest
from sqlalchemy import column, create_engine, select, table

from adapters.restores.postgres import PostgresSwap, YoungRows
from domain.db import driver_url

NUMBERS = table("numbers", column("number"))


@pytest.fixture
def live(postgres):
    """A database with one table, and what exchanges it."""
    url = postgres.new_database()
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql("create table numbers as select 1 as number")
    yield PostgresSwap(url)
    postgres.drop_database(url)


def engine_of(url):
    return create_engine(driver_url(url))


def test_rows_written_since_are_found_however_many_transactions_another_database_begins_meanwhile(live, postgres):
    with live.reading() as reading:
        mark = reading.mark
    with engine_of(live.url.render_as_string(hide_password=False)).begin() as connection:
        connection.exec_driver_sql("insert into numbers values (2)")
    with live.reading() as reading:
        changes = YoungRows(reading.connection, mark)
        with postgres.connect() as elsewhere, elsewhere.cursor() as cursor:
            for _ in range(1200):
                cursor.execute("select pg_current_xact_id()")
        [young] = changes.of(NUMBERS)
        assert reading.connection.scalars(select(NUMBERS.c.number).where(young)).all() == [2]
