"""The databases that tests are given, and the migrations behind them."""

from sqlalchemy import inspect, text

import migrations
from domain.models import metadata


class TestADatabaseOfATest:
    def test_it_is_migrated_and_empty(self, session):
        assert session.execute(text("select version_num from alembic_version")).scalar_one() == migrations.newest()
        assert session.execute(text("select count(*) from refund_requests")).scalar_one() == 0


class TestMigrations:
    def test_they_make_the_tables_and_columns_of_the_models(self, engine):
        found = {name: {column["name"] for column in inspect(engine).get_columns(name)} for name in tables(engine)}

        assert found == {name: set(table.columns.keys()) for name, table in metadata.tables.items()}

    def test_they_can_be_taken_back_and_made_again(self, engine, database_url):
        migrations.downgrade(database_url, "base")
        assert tables(engine) == set()

        migrations.upgrade(database_url)
        assert tables(engine) == set(metadata.tables)


def tables(engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}
