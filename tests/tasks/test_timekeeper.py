from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.storage import FolderStorage
from domain.db import now
from domain.health import storage_usage
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from domain.storage import StorageError
from tasks import timekeeper
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
