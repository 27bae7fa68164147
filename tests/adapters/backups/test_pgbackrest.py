"""Backups by pgBackRest, on a cluster with a repository of its own."""

from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import migrations
from adapters.backups.pgbackrest import PgBackRestVault
from domain import audit
from domain.access import SYSTEM
from domain.db import driver_url
from tests.adapters.backups.conftest import FULL, INCREMENTAL, silent, wish
from tests.factories import make_refund
from tests.servers.pgbackrest import STANZA, ArchivedPostgres

NUMBERS = count(1)


@pytest.fixture(scope="module")
def archived():
    with ArchivedPostgres() as server:
        yield server


@pytest.fixture(scope="module")
def live_url(archived):
    url = archived.new_database(name="portal")
    migrations.upgrade(url)
    return url


@pytest.fixture(scope="module")
def database(live_url):
    engine = create_engine(driver_url(live_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE markers (name text PRIMARY KEY)"))
    with Session(engine) as session:
        make_refund(session)
        audit.record(session, SYSTEM, "test.happened")
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def vault(archived, live_url, database):
    """In a folder of the test's own; the repository is everybody's."""
    return vault_of(archived, live_url)


def vault_of(archived, live_url, name=None):
    folder = archived.folder / (name or f"backups-{next(NUMBERS)}")
    return PgBackRestVault(folder, None, "1.2.3", live_url, stanza=STANZA, config=archived.config)


def mark(database, name):
    """Commit a row of that name; answers a moment after it and before whatever comes next."""
    with database.begin() as connection:
        connection.execute(text("INSERT INTO markers VALUES (:name)"), {"name": name})
    with database.begin() as connection:
        return connection.execute(text("SELECT clock_timestamp()")).scalar_one()


def staged(archived, vault, manifest, moment=None):
    """What the backup as of the moment holds of the markers, in a database that is dropped again, and the moment that it says."""
    url = archived.new_database(name=f"staged_{next(NUMBERS)}")
    reached = vault.stage(manifest, moment, url, silent)
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        found = set(connection.execute(text("SELECT name FROM markers")).scalars())
    engine.dispose()
    archived.drop_database(url)
    return found, reached


def test_full_and_incremental_ones_come_back_and_so_does_each_moment_after_them(archived, vault, database):
    mark(database, "before the first")
    full = vault.create(wish(FULL), silent)
    assert full.verified.ok
    assert "each table equal to what was there" in full.verified.what
    assert full.row_counts["refund_requests"] == 1
    mark(database, "after the first")
    second = vault.create(wish(INCREMENTAL), silent)
    assert (second.effective_type, second.parent_id) == (INCREMENTAL, full.id)
    assert 0 < second.stored_bytes < full.stored_bytes / 5
    between = mark(database, "after the second")
    late = mark(database, "late")

    all_before = {"before the first", "after the first"}
    assert staged(archived, vault, full) == ({"before the first"}, full.snapshot_at)
    assert staged(archived, vault, second, second.snapshot_at) == (all_before, second.snapshot_at)
    assert staged(archived, vault, full, between) == (all_before | {"after the second"}, between)
    vault.check_moment(second, late)
    assert staged(archived, vault, second, late) == (all_before | {"after the second", "late"}, late)
    [span] = vault.coverage()
    assert span.start == full.snapshot_at
    assert span.end > late + timedelta(microseconds=1)
