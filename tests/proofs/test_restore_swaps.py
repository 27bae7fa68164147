"""What gets in the way of a swap, and how long one keeps writers waiting."""

from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import config
import migrations
from adapters.backups import make_vault
from adapters.restores import make_restorer
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import driver_url, make_engine
from domain.restores.errors import SwapBlocked
from domain.restores.models import Restore
from domain.restores.restorer import Order

pytestmark = pytest.mark.slow


def silent(percent, stage):
    pass


def nothing():
    pass


def test_a_superuser_who_stays_connected_blocks_the_swap_and_nothing_has_changed(postgres, tmp_path):
    """The portal's own role may end its own sessions and no superuser's."""
    postgres.execute("create role portal_plain login createdb")
    try:
        name = "plain"
        postgres.execute(f"create database {name} owner portal_plain")
        url = postgres.url(name).replace("//postgres@", "//portal_plain@")
        migrations.upgrade(url)
        settings = config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path), "DATABASE_URL": url})
        vault = make_vault(settings)
        restorer = make_restorer(settings, vault)
        manifest = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), silent)
        order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
        with postgres.connect(name) as staying:
            with pytest.raises(SwapBlocked, match=rf"pid {staying.info.backend_pid} \(postgres"):
                restorer.restore(order, silent, nothing)
            with staying.cursor() as cursor:
                cursor.execute("select count(*) from restores")
                assert cursor.fetchone() == (0,)
        restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)
        engine = make_engine(url)
        with Session(engine) as session:
            assert session.query(Restore).count() == 1
        engine.dispose()
    finally:
        engine = create_engine(driver_url(postgres.url("postgres")), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            ours = connection.execute(text("select datname from pg_database where datdba = 'portal_plain'::regrole")).scalars().all()
        engine.dispose()
        for each in ours:
            postgres.execute(f'drop database "{each}" with (force)')
        postgres.execute("drop role portal_plain")
