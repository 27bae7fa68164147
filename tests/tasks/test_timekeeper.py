from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters.backups.archive.moments import micros_now
from adapters.backups.archive.store import Alive
from adapters.storage import FolderStorage
from domain.backups.budget import next_allowed_at
from domain.db import now
from domain.health import storage_usage
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from domain.jobs.models import Job
from domain.jobs.types import BACKUP
from domain.storage import StorageError
from tasks import timekeeper
from tasks.runner import Runner
from tests.factories import make_admin


def test_tidying_forgets_what_is_over_and_keeps_the_rest(context, engine):
    with Session(engine) as session:
        admin = make_admin(session)
        for end in (now() - timedelta(days=30), now() + timedelta(hours=1)):
            sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor(), expires_at=end)
        session.commit()

    timekeeper.tidy(context, None)

    with Session(engine) as session:
        assert [row.expires_at > now() for row in session.scalars(select(AdminSession))] == [True]


def test_the_stored_files_are_counted_once_an_hour_by_one_worker(context, engine):
    def counted():
        timekeeper.count_files(context, None)
        with Session(engine) as session:
            found = storage_usage.find(session, context.config.storage_url)
            return found and (found.files, found.bytes, found.measured_at)

    folder = context.storage.folder / "exports"
    folder.mkdir(parents=True)
    (folder / "one.csv").write_bytes(b"x" * 1000)
    (folder / "two.csv").write_bytes(b"x" * 500)
    with Session(engine) as session:  # another worker is at it
        assert storage_usage.claim(session, context.config.storage_url)
        session.commit()
    assert counted() is None
    with Session(engine) as session:
        storage_usage.give_up(session, context.config.storage_url)
        session.commit()
    first = counted()
    assert first[:2] == (2, 1500)
    (folder / "three.csv").write_bytes(b"x")
    assert counted() == first


def test_files_that_cannot_be_counted_now_are_counted_later(context, engine):
    class Broken(FolderStorage):
        def sizes(self):
            raise StorageError("The files could not be listed: the storage could not be reached.")

    timekeeper.count_files(replace(context, storage=Broken(context.storage.folder)), None)
    timekeeper.count_files(context, None)
    with Session(engine) as session:
        assert storage_usage.find(session, context.config.storage_url).files == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_is_made_by_itself_when_the_newest_full_one_is_old(context, engine):
    daily = replace(context, config=replace(context.config, backup_every_hours=24))

    def asked():
        timekeeper.ask_for_backup(daily, None)
        with Session(engine, expire_on_commit=False) as session:
            return session.scalars(select(Job).where(Job.type == "backup").order_by(Job.created_at)).all()

    def change(job, **columns):
        with Session(engine) as session, session.begin():
            session.execute(update(Job).where(Job.id == job.id).values(**columns))

    timekeeper.ask_for_backup(replace(context, config=replace(context.config, backup_every_hours=0)), None)
    [first] = asked()
    assert (first.creator_id, first.payload["backup_type"]) == (None, "full")
    assert len(asked()) == 1  # one is on its way
    change(first, status="failed", finished_at=now() - timedelta(minutes=59))
    assert len(asked()) == 1
    change(first, finished_at=now() - timedelta(minutes=61))
    second = asked()[1]
    Runner(context).run(second.id)
    made = context.vault.list()[0]
    assert (made.created_by, made.description) == ("System", "Made by itself")
    change(second, created_at=now() - timedelta(hours=25))
    assert len(asked()) == 2
    context.vault.catalog.write(replace(made, snapshot_at=now() - timedelta(hours=25)))
    assert len(asked()) == 3
    change(asked()[2], status="failed", finished_at=now() - timedelta(minutes=61))
    context.vault.catalog.write(made)
    assert len(asked()) == 3
    generation = context.vault.archive.store.begin()
    generation.note_alive(Alive(0, micros_now(), micros_now()))  # an archiver runs, and no backup stands where it began
    assert asked()[3].payload["backup_type"] == "incremental"
    with Session(engine) as session:
        assert next_allowed_at(session, BACKUP) is None  # an admin's budget is untouched
