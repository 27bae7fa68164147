"""An export from its start to the file in storage, and what is left where it does not get that far."""

import csv
from dataclasses import replace
from threading import Thread

import openpyxl
import pytest
from sqlalchemy import event, select

import tasks.work
from adapters.storage import FolderStorage
from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.jobs.commands import cancel, start
from domain.roles.models import Role
from tasks import exports
from tasks.runner import Runner
from tests.factories import actor_of, make_admin, make_refund
from tests.many import multiply, numbered
from tests.waiting import wait_until

REFUNDS = (Permission.ANALYTICS_VIEW, Permission.REFUNDS_LIST)


@pytest.fixture
def begin(session):
    """A committed export job of refunds, and its creator."""

    def start_one(**parameters):
        creator = make_admin(session, *REFUNDS)
        job = start(session, actor_of(creator), "analytics_export", {"report_type": "refunds", "format": "csv", **parameters})
        session.commit()
        return job, creator

    return start_one


def work_on(context, session, job):
    Runner(context).run(job.id)
    session.refresh(job)
    session.commit()
    return job


def left_over(context):
    """Every file that is still there of any export."""
    folders = (context.config.data_dir / "work", context.config.data_dir / "storage")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_the_file_is_in_storage_under_the_name_of_its_days(context, session, begin):
    refunds = [make_refund(session, description=text) for text in ("=1+1", 'two\r\n"lines"', "שלום")]
    job, creator = begin(**{"from": "2020-01-01", "to": "2099-12-31"})

    work_on(context, session, job)

    assert (job.status, job.progress_percent, job.error) == ("succeeded", 100, None)
    assert (job.result_file, job.result_name) == (f"exports/{job.id}.csv", "refunds-2020-01-01-to-2099-12-31.csv")
    assert job.result_type == "text/csv; charset=utf-8"
    pieces, size = context.storage.open(job.result_file)
    content = b"".join(pieces)
    assert job.result == {"rows": 3, "bytes": size, "report_type": "refunds"}
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines(keepends=True)))
    assert {row["refund_number"]: row["description"] for row in rows} == {
        refund.refund_number: text for refund, text in zip(refunds, ["'=1+1", 'two\r\n"lines"', "שלום"], strict=True)
    }
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "export.finished")).one()
    assert (entry.actor_name, entry.object_id) == ("System", str(job.id))
    asked = {"report_type": "refunds", "format": "csv", "from": "2020-01-01", "to": "2099-12-31"}
    who = {"creator": creator.name, "creator_id": str(creator.id), "emails": False}
    assert entry.details == {"rows": 3, "bytes": size, "report_type": "refunds", "filters": asked, **who}
    assert left_over(context) == [context.config.data_dir / "storage" / job.result_file]


def test_a_workbook_is_made_in_the_same_way(context, session, begin):
    refund = make_refund(session)
    job, _ = begin(format="xlsx")

    work_on(context, session, job)

    assert job.result_type.endswith("spreadsheetml.sheet")
    [_, row] = openpyxl.load_workbook(context.config.data_dir / "storage" / job.result_file).active.iter_rows(values_only=True)
    assert row[1] == refund.refund_number
    assert row[9:12] == (100_000, 1000.0, None)


def test_an_export_of_nothing_is_a_file_with_a_header(context, session, begin):
    job, _ = begin(status=["rejected"])
    work_on(context, session, job)
    assert (job.status, job.result["rows"]) == ("succeeded", 0)


def test_progress_is_told_in_rows(context, session, begin, monkeypatch):
    monkeypatch.setattr(exports, "READ_AT_ONCE", 2)
    monkeypatch.setattr(tasks.work, "TOLD_EVERY", 0)
    stages = []

    @event.listens_for(context.engine, "before_cursor_execute")
    def hear(_connection, _cursor, _statement, parameters, *_):
        values = parameters.values() if isinstance(parameters, dict) else parameters
        stages.extend(value for value in values if isinstance(value, str) and value.endswith(" rows"))

    for _ in range(5):
        make_refund(session)
    job, _ = begin()

    work_on(context, session, job)

    assert stages == ["Counting rows", "2 of 5 rows", "4 of 5 rows", "5 of 5 rows"]


def test_a_role_that_was_taken_away_ends_it(context, session, begin):
    make_refund(session)
    job, creator = begin()
    session.get_one(Role, creator.role_id).permissions = ["analytics:view"]
    session.commit()

    work_on(context, session, job)

    assert (job.status, job.error["code"]) == ("failed", "FORBIDDEN")
    assert "refunds:list" in job.error["message"]
    assert left_over(context) == []


def test_parameters_that_mean_nothing_end_it_in_words(context, session, begin):
    job, _ = begin(status=["lost"])
    work_on(context, session, job)
    assert (job.status, job.error["code"]) == ("failed", "VALIDATION_ERROR")


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_a_cancelled_export_stops_between_two_steps_and_leaves_no_file(context, session, begin, format):
    multiply(session, make_refund(session), 40_000, refund_number=numbered("RF-M-"))
    job, creator = begin(format=format)
    runner = Runner(context)
    runner.start_heartbeat()
    worker = Thread(target=runner.run, args=(job.id,))
    worker.start()
    wait_until(lambda: 0 < progress_of(session, job) < 90, "rows are being written", seconds=60)

    cancelled_at = cancel(session, actor_of(creator), job.id).cancelled_at
    session.commit()
    worker.join(30)

    session.refresh(job)
    session.commit()
    assert (job.status, job.result_file) == ("cancelled", None)
    assert job.cancel_acknowledged_at >= cancelled_at
    assert left_over(context) == []


def progress_of(session, job):
    session.refresh(job)
    session.commit()
    return job.progress_percent


class CancelledMeanwhile(FolderStorage):
    """A storage that keeps the file just as its job is cancelled."""

    def __init__(self, folder, cancel):
        super().__init__(folder)
        self.cancel = cancel

    def save(self, name, source):
        super().save(name, source)
        self.cancel()


def test_one_cancelled_in_its_last_step_leaves_no_file_and_no_word_of_having_finished(context, session, begin):
    job, creator = begin()

    def cancel_it():
        cancel(session, actor_of(creator), job.id)
        session.commit()

    work_on(replace(context, storage=CancelledMeanwhile(context.storage.folder, cancel_it)), session, job)

    assert (job.status, job.result, job.result_file) == ("cancelled", None, None)
    assert left_over(context) == []
    assert session.scalars(select(AuditEntry).where(AuditEntry.action == "export.finished")).all() == []


def test_a_storage_that_is_away_is_waited_for_and_then_given_up_in_words(context, session, begin, tmp_path):
    job, _ = begin()
    (tmp_path / "away").write_text("a file where the folder should be")
    context = replace(context, storage=FolderStorage(tmp_path / "away"))

    work_on(context, session, job)
    assert (job.status, job.stage) == ("pending", "The file could not be kept: Not a directory")

    job.attempts, job.run_after = exports.TRIES_OF_STORAGE - 1, job.created_at
    session.commit()
    work_on(context, session, job)
    assert (job.status, job.error["code"]) == ("failed", "STORAGE_UNAVAILABLE")
    assert left_over(context) == []
