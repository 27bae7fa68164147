"""Backups that nobody asks for: with the files of the storage, and told of by mail when they come to nothing."""

from dataclasses import replace
from datetime import timedelta
from itertools import islice
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters.backups.sources import FolderSource
from adapters.backups.vault import FolderVault
from adapters.mail import make_mailer
from domain.access import operator
from domain.audit.models import AuditEntry
from domain.backups.vault import Part, Wish
from domain.db import now
from domain.health.backups import find_disk, judge, look
from domain.health.storage_usage import StorageMeasurement
from domain.jobs.commands import cancel, enqueue
from domain.jobs.models import Job
from domain.roles.models import Role
from domain.storage import StorageError
from domain.throttle import ThrottleCounter
from tasks import timekeeper
from tasks.runner import Runner
from tests.factories import make_admin
from tests.servers.smtp import Smtp


@pytest.fixture
def smtp():
    with Smtp() as server:
        yield server


@pytest.fixture
def daily(context, smtp):
    """A worker's context where a backup is made every day, and mail is sent."""
    settings = replace(context.config, backup_every_hours=24, smtp_url=smtp.url, public_url="https://portal.example.com")
    (context.storage.folder / "exports").mkdir(parents=True)
    (context.storage.folder / "exports/one.csv").write_bytes(b"id,amount\n" * 100)
    return replace(context, config=settings, mailer=make_mailer(settings))


@pytest.fixture
def asha(session):
    """A super admin, beside one who is disabled and one of finance, who are told nothing."""
    make_admin(session, role="super_admin", email="gone@example.com", disabled_at=now())
    make_admin(session, email="finance@example.com")
    admin = make_admin(session, role="super_admin", email="asha@example.com", name="Asha Rao")
    session.commit()
    return admin


@pytest.fixture
def a_day(daily, engine, smtp):
    """What a worker's rounds and its jobs do; answers what mail came of it, as subject and text."""

    def go_by(context=daily):
        seen = len(smtp.messages)
        timekeeper.ask_for_backup(context, None)
        work(context, engine, "backup")
        for _ in range(3):  # workers that come at the same time
            timekeeper.tell_of_backups(context, None)
        a_minute_later(engine)
        timekeeper.tell_of_backups(context, None)
        work(context, engine, "notification")
        return [(mail["Subject"], mail.get_body(("plain",)).get_content()) for mail in smtp.messages[seen:]]

    return go_by


def work(context, engine, type):
    with Session(engine) as session:
        ids = session.scalars(select(Job.id).where(Job.type == type, Job.status == "pending").order_by(Job.created_at)).all()
    for job_id in ids:
        Runner(context).run(job_id)


def a_minute_later(engine, minutes=2):
    with Session(engine) as session, session.begin():
        session.execute(update(ThrottleCounter).values(window_start=now() - timedelta(minutes=minutes)))


def jobs(engine):
    with Session(engine, expire_on_commit=False) as session:
        return session.scalars(select(Job).where(Job.type == "backup").order_by(Job.created_at)).all()


def later(engine, **back):
    """As if all that was done had been done that much earlier."""
    with Session(engine) as session, session.begin():
        for job in session.scalars(select(Job).where(Job.type == "backup", Job.finished_at.is_not(None))):
            job.created_at -= timedelta(**back)
            job.finished_at -= timedelta(**back)


def grow_old(vault, **back):
    for manifest in vault.list():
        vault.catalog.write(replace(manifest, snapshot_at=manifest.snapshot_at - timedelta(**back)))


def acts(engine):
    with Session(engine) as session:
        found = select(AuditEntry.action).where(AuditEntry.action.startswith("backup.alarm")).order_by(AuditEntry.sequence)
        return session.scalars(found).all()


def test_it_has_the_files_of_the_storage_unless_they_are_to_be_left_out(daily, asha, a_day, engine):
    assert a_day() == []
    [made] = daily.vault.list()
    assert (made.uploads["count"], made.note) == (1, None)
    later(engine, hours=25)
    grow_old(daily.vault, hours=25)
    assert a_day(replace(daily, config=replace(daily.config, backup_uploads=False))) == []
    assert daily.vault.list()[0].uploads is None
    assert [job.status for job in jobs(engine)] == ["succeeded"] * 2


def test_one_that_was_cancelled_comes_back_an_hour_later(daily, asha, engine):
    timekeeper.ask_for_backup(daily, None)
    with Session(engine) as session, session.begin():
        cancel(session, operator(), session.scalars(select(Job).where(Job.type == "backup")).one().id)
    timekeeper.ask_for_backup(daily, None)
    assert [job.status for job in jobs(engine)] == ["cancelled"]
    later(engine, minutes=61)
    timekeeper.ask_for_backup(daily, None)
    assert [job.status for job in jobs(engine)] == ["cancelled", "pending"]


def test_one_that_was_made_while_the_clock_was_ahead_does_not_pass_for_the_newest(daily, asha, a_day, engine):
    a_day()
    later(engine, days=-30)
    grow_old(daily.vault, days=-30)
    a_day()
    ahead, made = daily.vault.list()
    assert look(daily.vault).standing.newest == made
    assert look(daily.vault).standing.age < timedelta(hours=1) < ahead.snapshot_at - now()


def test_super_admins_are_told_once_that_it_fails_and_once_that_it_is_well_again(daily, asha, a_day, engine, smtp, monkeypatch):
    with monkeypatch.context() as full_disk:
        full_disk.setattr(FolderVault, "free_bytes", lambda vault: 1000)
        [(subject, text)] = a_day()
        assert subject == "A backup has failed"
        assert "Dear Asha Rao" in text
        assert "A backup needs" in text and "0 MB are: free some" in " ".join(text.split())
        assert "Newest backup that can be restored: none" in text
        assert "https://portal.example.com/system/backups" in text
        for _ in range(3):
            later(engine, hours=2)
            assert a_day() == []
        assert [job.status for job in jobs(engine)] == ["failed"] * 4
    later(engine, hours=2)
    [(subject, text)] = a_day()
    assert subject == "Backups are well again"
    assert "there is nothing to do" in " ".join(text.split())
    assert a_day() == []
    assert {mail["To"] for mail in smtp.messages} == {"asha@example.com"}
    assert acts(engine) == ["backup.alarm_raised", "backup.alarm_ended"]


def test_one_that_was_made_by_hand_ends_it_too(daily, asha, a_day, engine, monkeypatch):
    with monkeypatch.context() as full_disk:
        full_disk.setattr(FolderVault, "free_bytes", lambda vault: 1000)
        assert len(a_day()) == 1
    failed = jobs(engine)[0]
    daily.vault.create(Wish(failed.subject_id, "full", None, "Asha Rao"), lambda percent, stage: None)
    [(subject, _)] = a_day()
    assert subject == "Backups are well again"


def test_a_new_portal_has_its_time_and_after_that_none_that_is_verified_is_told(daily, asha, engine, smtp, a_day):
    """Also where none is ever tried: the job waits, and no worker takes it."""
    timekeeper.tell_of_backups(daily, None)
    assert acts(engine) == []
    with Session(engine) as session, session.begin():
        session.execute(update(Role).values(created_at=now() - timedelta(hours=27)))
    timekeeper.tell_of_backups(daily, None)
    work(daily, engine, "notification")
    [mail] = smtp.messages
    assert mail["Subject"] == "There is no recent backup"
    [(subject, _)] = a_day()
    assert subject == "Backups are well again"
    grow_old(daily.vault, hours=27)
    a_minute_later(engine)
    timekeeper.tell_of_backups(daily, None)
    work(daily, engine, "notification")
    assert smtp.messages[-1]["Subject"] == "There is no recent backup"
    assert daily.vault.list()[0].snapshot_at.strftime("%-d %b %Y, %H:%M UTC") in smtp.messages[-1].get_body(("plain",)).get_content()


def test_what_is_over_before_it_is_told_is_not_told(daily, asha, a_day, engine, smtp, monkeypatch):
    with monkeypatch.context() as full_disk:
        full_disk.setattr(FolderVault, "free_bytes", lambda vault: 1000)
        timekeeper.ask_for_backup(daily, None)
        work(daily, engine, "backup")
        timekeeper.tell_of_backups(daily, None)
    later(engine, hours=2)
    assert [subject for subject, _ in a_day()] == ["Backups are well again"]


def test_what_backups_take_up_is_counted_by_their_parts(daily, asha, a_day, engine):
    actor = operator()

    def counted():
        timekeeper.count_files(daily, None)
        with Session(engine) as session:
            return find_disk(session, actor, daily.config.backup_dir)

    a_day()
    [made] = daily.vault.list()
    archive = daily.vault.folder / "wal/20260101T000000000000-0a0b0c0d"
    archive.mkdir(parents=True)
    (archive / "alive").write_bytes(b"x" * 512)
    disk = counted()
    assert disk[Part.ARCHIVE].bytes == 512
    assert disk[Part.UPLOADS].bytes == made.uploads["stored_bytes"]
    assert disk[Part.BACKUPS].bytes > made.stored_bytes
    assert disk[None].bytes == sum(disk[part].bytes for part in Part)
    told = judge(look(daily.vault), timedelta(hours=24), now(), disk).figures
    assert (told["archive_gb"], told["disk_gb"]) == (0.0, round(disk[None].bytes / 1e9, 3))
    (archive / "alive").unlink()
    assert counted()[Part.ARCHIVE].bytes == 512  # not again within the hour
    with Session(engine) as session, session.begin():
        session.execute(update(StorageMeasurement).values(measured_at=now() - timedelta(hours=2)))
    a_minute_later(engine, minutes=60)
    assert counted()[Part.ARCHIVE].bytes == 0


def test_without_backups_by_itself_nobody_is_told(context, engine, asha):
    with Session(engine) as session, session.begin():
        session.execute(update(Role).values(created_at=now() - timedelta(hours=27)))
    timekeeper.tell_of_backups(context, None)
    assert acts(engine) == []


def test_where_the_files_find_no_room_the_database_is_backed_up_and_it_is_told(daily, asha, a_day, engine):
    vault = daily.vault
    large = daily.storage.folder / "film.mp4"
    with large.open("wb") as file:
        file.truncate(1 << 43)
    [(subject, text)] = a_day()
    assert subject == "Stored files are not backed up"
    assert "Without the files of the storage: A backup needs" in " ".join(text.split())
    [made] = vault.list()
    assert made.verified.ok and made.uploads is None
    assert made.note.startswith("Without the files of the storage: A backup needs")
    assert not (vault.folder / "uploads").exists()
    assert sorted(path.name for path in vault.catalog.files(made.id).iterdir()) == sorted(
        ["manifest.json", *(stored.name for stored in made.files)]
    )
    with Session(engine) as session, session.begin():
        enqueue(session, "backup", subject_id=uuid4(), metadata={"backup_type": "full", "include_uploads": None})  # as a restore does
    assert a_day() == []
    large.unlink()
    later(engine, hours=25)
    grow_old(vault, hours=25)
    [(subject, _)] = a_day()
    assert subject == "Backups are well again"
    assert vault.list()[0].uploads["count"] == 1


def breaking_reads(source, monkeypatch):
    """In the middle of them, when some are kept already."""
    opened, count = source.opened, iter(range(100))

    def breaking(self, path):
        if next(count) == 10:
            raise StorageError(f"{path} cannot be read: Input/output error")
        return opened(self, path)

    monkeypatch.setattr(source, "opened", breaking)


def breaking_lists(source, monkeypatch):
    entries = source.entries

    def breaking(self, skip):
        yield from islice(entries(self, skip), 10)
        raise StorageError("The folder of the storage cannot be listed: Input/output error")

    monkeypatch.setattr(source, "entries", breaking)


@pytest.mark.parametrize("break_it", [breaking_reads, breaking_lists])
def test_files_that_cannot_be_read_do_not_take_the_database_with_them(daily, asha, a_day, engine, monkeypatch, break_it):
    for number in range(20):
        (daily.storage.folder / f"{number}.jpg").write_bytes(bytes([number]) * 1000)
    break_it(FolderSource, monkeypatch)
    [(subject, text)] = a_day()
    assert subject == "Stored files are not backed up"
    assert "Input/output error" in text
    [made] = daily.vault.list()
    assert made.uploads is None and daily.vault.verify(made.id, lambda percent, stage: None).verified.ok
    assert {path.name for path in daily.vault.folder.iterdir()} == {str(made.id), f"{made.id}.json", "operation.lock"}
    assert sorted(path.name for path in daily.vault.catalog.files(made.id).iterdir()) == sorted(
        ["manifest.json", *(stored.name for stored in made.files)]
    )
