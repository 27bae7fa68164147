"""What was kept long enough goes, and what dead workers left; nothing else does."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

import config
from adapters.storage import FolderStorage
from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import DomainError
from domain.jobs import counts, leases, retention
from domain.jobs.commands import cancel, retry
from domain.jobs.models import Job, JobEvent
from domain.storage import StorageError
from tasks import timekeeper
from tasks.cleanup import remove_left_folders
from tasks.context import make_context
from tasks.runner import Runner
from tasks.work import work_folder
from tests.factories import make_actor, make_job
from tests.standins.s3 import S3StandIn
from tests.waiting import wait_until

DAYS = 10
LONG_AGO, LATELY = timedelta(days=DAYS + 1), timedelta(days=DAYS - 1)


@pytest.fixture
def settings(settings):
    return {**settings, "JOB_RETENTION_DAYS": str(DAYS)}


@pytest.fixture
def keep(context, tmp_path):
    """A file in storage, kept so long ago."""

    def keep_one(name, age=timedelta(), content=b"id\r\n"):
        source = tmp_path / "source"
        source.write_bytes(content)
        context.storage.save(name, source)
        at = (now() - age).timestamp()
        os.utime(context.storage.path(name), (at, at))
        return name

    return keep_one


@pytest.fixture
def export(session, keep):
    """A finished export with its file."""

    def make(age, status="succeeded", **fields):
        job_id = uuid4()
        name = keep(f"exports/{job_id}.csv", age)
        file = {"result_file": name, "result_name": "refunds.csv", "result_type": "text/csv"} if status == "succeeded" else {}
        ended = {"finished_at": now() - age} if status in ("succeeded", "failed", "cancelled") else {}
        return make_job(session, id=job_id, type="analytics_export", status=status, **{**file, **ended, **fields})

    return make


def clean_up(context, session):
    job = make_job(session)
    session.commit()
    Runner(context).run(job.id)
    session.expire_all()
    job = session.get(Job, job.id)
    session.commit()
    return job


def stored(context):
    folder = context.storage.folder
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ids(session):
    found = set(session.scalars(select(Job.id).where(Job.type != "cleanup")))
    session.commit()
    return found


def test_an_old_jobs_file_goes_and_its_row_says_so(context, session, export):
    old, young = export(LONG_AGO), export(LATELY)

    job = clean_up(context, session)

    assert (job.status, job.result) == ("succeeded", {"expired_files": 1, "purged_jobs": 0, "stray_files": 0})
    assert stored(context) == {young.result_file}
    assert (old.status, old.result_file, old.result_name) == ("succeeded", None, "refunds.csv")
    assert now() - old.result_expired_at < timedelta(minutes=1)
    assert young.result_expired_at is None
    assert session.scalars(select(JobEvent.event).where(JobEvent.job_id == old.id)).all() == ["file_expired"]
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "jobs.files_expired")).one()
    assert (entry.actor_name, entry.details) == ("System", {"job_ids": [str(old.id)]})


def test_rows_are_purged_with_their_events_once_they_are_old(context, session):
    kept = [
        make_job(session),
        make_job(session, status="processing", created_at=now() - LONG_AGO, started_at=now() - LONG_AGO),
        make_job(session, status="failed", finished_at=now() - LATELY),
        make_job(session, status="succeeded", finished_at=now() - LONG_AGO, deleted_at=now() - LATELY),
        make_job(session, status="succeeded", finished_at=now() - 3 * LONG_AGO, result_name="a.csv", result_expired_at=now() - LATELY),
        make_job(session, status="cancelled", finished_at=now() - LONG_AGO, lease_owner="a worker that is stopping"),
    ]
    for job in kept:
        job.type = "notification"
    for status in ("succeeded", "failed", "cancelled"):
        old = make_job(session, type="notification", status=status, finished_at=now() - LONG_AGO)
        session.add(JobEvent(job_id=old.id, event="claimed"))
    make_job(session, type="notification", status="failed", finished_at=now() - 2 * LONG_AGO, deleted_at=now() - LONG_AGO)
    make_job(session, type="analytics_export", status="succeeded", finished_at=now() - 3 * LONG_AGO, result_expired_at=now() - LONG_AGO)
    session.commit()
    kept = {job.id for job in kept}

    job = clean_up(context, session)

    assert job.result == {"expired_files": 0, "purged_jobs": 5, "stray_files": 0}
    assert ids(session) == kept
    assert set(session.scalars(select(JobEvent.job_id))) == {job.id}
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "jobs.purged")).one()
    assert entry.details["count"] == 5


def test_a_deleted_jobs_file_that_stayed_behind_goes_at_once_and_its_row_when_its_time_is_over(context, session, export):
    young = export(timedelta(hours=1), deleted_at=now())
    old = export(LONG_AGO, deleted_at=now() - LONG_AGO)
    old_id = old.id

    clean_up(context, session)

    assert stored(context) == set()
    assert ids(session) == {young.id} and old_id != young.id
    assert young.result_file is None
    assert session.scalar(select(func.count()).select_from(JobEvent).where(JobEvent.job_id == young.id)) == 0


def test_the_counts_are_still_those_of_the_rows(context, session, export):
    for status in ("succeeded", "failed", "cancelled"):
        make_job(session, type="notification", status=status, finished_at=now() - LONG_AGO)
        make_job(session, type="notification", status=status, finished_at=now() - LATELY)
    make_job(session, type="notification", status="failed", finished_at=now() - LONG_AGO, deleted_at=now() - LONG_AGO)
    export(LONG_AGO)

    clean_up(context, session)
    counts.fold(session)
    session.commit()

    rows = dict(session.execute(select(Job.status, func.count()).where(Job.deleted_at.is_(None)).group_by(Job.status)).all())
    said = {status: count for status, count in counts.by_status(session).items() if count}
    assert said == rows == {"succeeded": 3, "failed": 1, "cancelled": 1}  # one of those succeeded is the clean-up itself


def test_a_stray_file_goes_after_a_day_and_a_living_jobs_never(context, session, export, keep):
    two_days = timedelta(days=2)
    kept = {
        export(two_days).result_file,
        f"exports/{export(two_days, status='pending').id}.csv",
        f"exports/{export(two_days, status='processing').id}.csv",
        keep(f"exports/{uuid4()}.csv", timedelta(hours=23)),
        keep("exports/by-hand.csv", two_days),
        keep(f"receipts/{uuid4()}.pdf", two_days),
    }
    export(two_days, status="failed")
    export(two_days, status="cancelled")
    keep(f"exports/{uuid4()}.xlsx", two_days)
    keep(f"doctor/{uuid4()}.txt", two_days)
    draft = context.storage.folder / "exports" / f".{uuid4()}.csv.4711"
    draft.write_text("half")
    os.utime(draft, (0, 0))

    job = clean_up(context, session)

    assert job.result == {"expired_files": 0, "purged_jobs": 0, "stray_files": 5}
    assert stored(context) == kept


def test_many_go_piece_by_piece_with_progress(context, session, export, keep, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr("tasks.work.TOLD_EVERY", 0)
    for _ in range(5):
        export(LONG_AGO)
        make_job(session, type="notification", status="failed", finished_at=now() - LONG_AGO)
        keep(f"exports/{uuid4()}.csv", timedelta(days=2))
    told = []

    @event.listens_for(context.engine, "before_cursor_execute")
    def hear(_connection, _cursor, _statement, parameters, *_):
        values = list(parameters.values() if isinstance(parameters, dict) else parameters)
        told.extend((stage, percent) for stage in STAGES if stage in values for percent in values if type(percent) is int)

    job = clean_up(context, session)

    assert job.result == {"expired_files": 5, "purged_jobs": 5, "stray_files": 5}
    assert session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "jobs.purged")) == 3
    percents = [percent for _, percent in told]
    assert percents == sorted(percents)
    assert ("Removing old files", 18) in told and ("Removing old jobs", 62) in told


STAGES = ("Removing old files", "Removing old jobs", "Looking for files without a job")


def test_a_second_one_finds_nothing(context, session, export):
    export(LONG_AGO)
    clean_up(context, session)
    assert clean_up(context, session).result == {"expired_files": 0, "purged_jobs": 0, "stray_files": 0}


class Broken(FolderStorage):
    def delete(self, name):
        raise StorageError("The file could not be removed: the storage could not be reached.")


def test_storage_that_is_away_keeps_only_what_has_a_file(context, session, export):
    old = export(LONG_AGO)
    make_job(session, type="notification", status="failed", finished_at=now() - LONG_AGO)
    context = replace(context, storage=Broken(context.storage.folder))

    job = clean_up(context, session)

    assert (job.status, job.stage) == ("pending", "The file could not be removed: the storage could not be reached.")
    assert ids(session) == {old.id}
    assert old.result_expired_at is None

    job.attempts, job.run_after = 10, now()
    session.commit()
    Runner(context).run(job.id)
    session.refresh(job)
    assert (job.status, job.error["code"]) == ("failed", "STORAGE_UNAVAILABLE")


def test_one_whose_file_went_before_it_was_killed_is_finished_by_the_next(context, session, export):
    old = export(LONG_AGO)
    context.storage.delete(old.result_file)
    clean_up(context, session)
    assert old.result_file is None and old.result_expired_at is not None


def test_a_bucket_is_cleaned_in_the_same_way(settings, session, tmp_path, monkeypatch):
    with S3StandIn() as s3:
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        context = make_context(config.load({**settings, **s3.environment(), "JOB_RETENTION_DAYS": str(DAYS)}))
        old = make_job(session, type="analytics_export", status="succeeded", finished_at=now() - LONG_AGO)
        young = make_job(session, type="analytics_export", status="succeeded", finished_at=now() - LATELY)
        for job in (old, young):
            job.result_file = f"exports/{job.id}.csv"
        session.commit()
        for name in (old.result_file, young.result_file, f"exports/{uuid4()}.csv"):
            (tmp_path / "source").write_bytes(b"id\r\n")
            context.storage.save(name, tmp_path / "source")
            s3.times[f"portal/{name}"] = now() - timedelta(days=2)

        job = clean_up(context, session)

        assert job.result == {"expired_files": 1, "purged_jobs": 0, "stray_files": 1}
        assert set(s3.objects) == {f"portal/{young.result_file}"}
        context.storage.client().close()
        context.engine.dispose()


def test_old_work_folders_go_but_for_those_of_unfinished_jobs(context, session):
    folder = context.config.data_dir / "work"
    finished, running, waiting = (make_job(session, status=status) for status in ("succeeded", "processing", "pending"))
    session.commit()
    names = [str(uuid4()), str(finished.id), str(running.id), str(waiting.id), "notes", str(uuid4())]
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "keys").write_bytes(b"x")
    for name in names[:-1]:
        os.utime(folder / name, (0, 0))

    remove_left_folders(context)

    assert {path.name for path in folder.iterdir()} == set(names[2:])


def test_a_failed_one_is_not_run_again_by_hand_and_says_what_happens_instead(session):
    job = make_job(session, status="failed")
    with pytest.raises(DomainError, match="the portal starts the next one when it is time"):
        retry(session, make_actor(session, Permission.JOBS_LIST_ALL, Permission.JOBS_RETRY), job.id)


def test_without_work_folders_there_is_nothing_to_do(context):
    remove_left_folders(context)


class TestAskingForOne:
    def live(self, session):
        found = session.scalar(select(func.count()).select_from(Job).where(Job.type == "cleanup", Job.status == "pending"))
        session.commit()
        return found

    def test_any_number_of_workers_get_one(self, context, session):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: timekeeper.ask_for_cleanup(context, None), range(6)))
        assert self.live(session) == 1

    def test_whoever_asks_before_another_has_committed_asks_in_vain(self, session, engine):
        def ask():
            with Session(engine) as other, other.begin():
                return retention.request(other)

        assert retention.request(session) is not None
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(ask)
            wait_until(lambda: other.running(), "the other asks")
            session.commit()
            assert other.result(30) is None
        assert self.live(session) == 1

    @pytest.mark.parametrize(
        ("status", "age", "wanted"),
        [
            ("succeeded", timedelta(hours=23), 0),
            ("succeeded", timedelta(hours=25), 1),
            ("failed", timedelta(minutes=50), 0),
            ("failed", timedelta(minutes=70), 1),
            ("processing", timedelta(days=3), 0),
        ],
    )
    def test_one_a_day_is_enough_and_a_failed_one_is_tried_after_an_hour(self, context, session, status, age, wanted):
        ended = {} if status == "processing" else {"finished_at": now() - age}
        make_job(session, status=status, created_at=now() - age, **ended)
        session.commit()
        timekeeper.ask_for_cleanup(context, None)
        assert self.live(session) == wanted

    def test_nothing_is_written_where_none_is_wanted(self, context, session):
        make_job(session, status="succeeded")
        session.commit()
        asked = []
        event.listen(context.engine, "before_cursor_execute", lambda *heard: asked.append(heard[2]))
        timekeeper.ask_for_cleanup(context, None)
        assert [statement.split()[0] for statement in asked if statement != "BEGIN"] == ["SELECT"]


class TestACancelledJobWhoseWorkerDied:
    OVER = timedelta(seconds=-1)

    @pytest.fixture
    def job(self, session, context, keep):
        """An export whose worker died as it kept the file, with work files beside it."""
        job = make_job(session, type="analytics_export")
        leases.claim(session, job.id, "dead", self.OVER)
        session.commit()
        folder = work_folder(context, job) / "1"
        folder.mkdir(parents=True)
        (folder / "keys").write_bytes(b"0" * 16)
        keep(f"exports/{job.id}.csv")
        (context.storage.folder / "exports" / f".{job.id}.csv.4711").write_bytes(b"id")
        return job

    def cancelled(self, session, job):
        cancel(session, make_actor(session, *Permission), job.id)
        session.commit()

    def is_acknowledged(self, context, session, job):
        timekeeper.clean_up_abandoned(context, None)
        session.refresh(job)
        session.commit()
        return job.cancel_acknowledged_at is not None

    def rests(self, context):
        folders = (context.config.data_dir / "work", context.storage.folder)
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def test_is_acknowledged_once_nothing_of_it_is_left(self, context, session, job):
        self.cancelled(session, job)
        assert job.cancel_acknowledged_at is None
        assert self.is_acknowledged(context, session, job)
        assert self.rests(context) == []

    def test_and_that_was_freed_before_the_cancel_is_cleaned_up_too(self, context, session, job):
        leases.sweep(session)
        self.cancelled(session, job)
        assert self.is_acknowledged(context, session, job)
        assert self.rests(context) == []

    def test_is_left_alone_while_its_lease_runs(self, context, session, job):
        job.lease_until = now() + timedelta(seconds=20)
        self.cancelled(session, job)
        assert not self.is_acknowledged(context, session, job)
        assert len(self.rests(context)) == 3

    def test_waits_for_a_storage_that_is_away(self, context, session, job, tmp_path):
        self.cancelled(session, job)
        (tmp_path / "away").write_text("a file where the folder should be")
        assert not self.is_acknowledged(replace(context, storage=FolderStorage(tmp_path / "away")), session, job)
        assert self.is_acknowledged(context, session, job)

    def test_is_nothing_to_clean_up_before_its_cancel(self, context, session, job):
        assert not self.is_acknowledged(context, session, job)
        assert len(self.rests(context)) == 3
