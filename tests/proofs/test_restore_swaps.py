"""What gets in the way of a swap."""

from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from uuid import UUID, uuid4

import psycopg2
import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

import config
import migrations
from adapters.backups import make_vault
from adapters.restores import make_restorer
from adapters.restores.postgres import PostgresSwap
from adapters.restores.restorer import LiveRestorer
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import driver_url, make_engine
from domain.restores.errors import SwapBlocked
from domain.restores.models import Restore
from domain.restores.restorer import Order
from tests.servers.postgres import EAGER_VACUUM, Postgres

pytestmark = pytest.mark.slow


def silent(percent, stage):
    pass


def nothing():
    pass


@dataclass
class Portal:
    """Of a role that may create databases and nothing else."""

    server: Postgres
    name: str
    url: str
    restorer: LiveRestorer
    backup_id: UUID

    def restore(self):
        order = Order(uuid4(), "Asha Rao", backup_id=self.backup_id)
        self.restorer.restore(order, silent, nothing)
        return order.id

    def restores(self):
        engine = make_engine(self.url)
        with Session(engine) as session:
            found = session.scalars(select(Restore.id).order_by(Restore.swapped_at)).all()
        engine.dispose()
        return found


@contextmanager
def a_portal(server, folder):
    server.execute("create role portal_plain login createdb")
    try:
        server.execute("create database plain owner portal_plain")
        url = server.url("plain").replace("//postgres@", "//portal_plain@")
        migrations.upgrade(url)
        settings = config.load({"APP_ENV": "test", "DATA_DIR": str(folder), "DATABASE_URL": url})
        vault = make_vault(settings)
        manifest = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), silent)
        yield Portal(server, "plain", url, make_restorer(settings, vault), manifest.id)
    finally:
        engine = create_engine(driver_url(server.url("postgres")), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            ours = connection.execute(text("select datname from pg_database where datdba = 'portal_plain'::regrole")).scalars().all()
        engine.dispose()
        for each in ours:
            server.execute(f'drop database "{each}" with (force)')
        server.execute("drop role portal_plain")


def test_a_superuser_who_stays_connected_blocks_the_swap_and_nothing_has_changed(postgres, tmp_path):
    """The portal's own role may end its own sessions and no superuser's."""
    with a_portal(postgres, tmp_path) as portal:
        with postgres.connect(portal.name) as staying:
            with pytest.raises(SwapBlocked, match=rf"pid {staying.info.backend_pid} \(postgres"):
                portal.restore()
            with staying.cursor() as cursor:
                cursor.execute("select count(*) from restores")
                assert cursor.fetchone() == (0,)
        assert [portal.restore()] == portal.restores()


def test_one_who_is_in_the_staged_data_for_a_while_only_holds_it_up(postgres, tmp_path, meanwhile):
    """As a superuser's monitoring is that looks into every database there is."""

    def another(staged):
        connection = psycopg2.connect(host=str(postgres.folder), port=postgres.port, user="postgres", dbname=staged)
        Timer(7, connection.close).start()
        return connection

    met = meanwhile(another)
    with a_portal(postgres, tmp_path) as portal:
        assert [portal.restore()] == portal.restores()
    assert [each.closed for each in met] == [1]


def test_vacuuming_of_the_staged_data_does_not_hold_it_up(tmp_path, meanwhile):
    """No role but a superuser may end it; the rename does."""
    with Postgres(settings=EAGER_VACUUM) as server:
        met = meanwhile(server.vacuuming)
        with a_portal(server, tmp_path) as portal:
            assert [portal.restore()] == portal.restores()
        assert len(met) == 1


@pytest.fixture
def meanwhile(monkeypatch):
    """Calls the act with the name of the staged database once, before the restore is entered there; answers what it answered."""
    entered, answers = PostgresSwap.entered, []

    def armed(act):
        def after_that(self, renaming, into, late, cursor):
            if not answers:
                answers.append(act(into.engine.url.database))
            return entered(self, renaming, into, late, cursor)

        monkeypatch.setattr(PostgresSwap, "entered", after_that)
        return answers

    return armed
