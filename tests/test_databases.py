"""The databases that tests are given, and the migrations behind them."""

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

import migrations
from domain.models import metadata
from tests.factories import make_refund


class TestADatabaseOfATest:
    def test_it_is_migrated_and_empty(self, session):
        assert session.execute(text("select version_num from alembic_version")).scalar_one() == migrations.newest()
        assert session.execute(text("select count(*) from refund_requests")).scalar_one() == 0

    @pytest.mark.parametrize("harm", ["delete from roles", "alter table roles add column spoilt int", "drop table referrals"])
    def test_the_next_test_sees_nothing_of_it(self, engine, request, harm):
        database = request.getfixturevalue("sqlite_database" if engine.dialect.name == "sqlite" else "postgres_database")
        with Session(engine) as session:
            before = contents(session)
            make_refund(session)
            session.commit()
        with engine.begin() as connection:
            connection.execute(text(harm))
        held = engine.connect()
        held.execute(text("select 1"))

        database.renew()

        held.invalidate()
        engine.dispose()
        with Session(engine) as session:
            assert contents(session) == before
            make_refund(session)


class TestMigrations:
    def test_their_files_are_named_after_them_in_their_order(self):
        script = ScriptDirectory(str(migrations.HERE))
        assert list(migrations.revisions()) == [each.revision for each in script.walk_revisions()][::-1]
        assert migrations.newest() == script.get_current_head()

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


def contents(session) -> dict[str, list]:
    """The columns and the rows of each table."""
    found = {}
    for name in sorted(inspect(session.connection()).get_table_names()):
        answer = session.execute(text(f"select * from {name} order by 1"))
        found[name] = [list(answer.keys()), *answer.all()]
    return found
