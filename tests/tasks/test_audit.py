"""The worker's part: the log verified, and carried away as a file."""

import csv
import json

import openpyxl
import pytest
from sqlalchemy import select, text

from domain import audit
from domain.access import SYSTEM
from domain.audit import checks
from domain.audit.models import AuditEntry
from domain.jobs.commands import enqueue, start
from domain.roles.models import Role
from tasks.runner import Runner
from tests.domain.audit.test_verification import DROP_TRIGGERS
from tests.factories import actor_for, make_admin


@pytest.fixture
def auditor(session):
    return make_admin(session, "audit:list", "jobs:list", name="Asha Rao", email="asha@example.com")


def work_on(context, session, job):
    session.commit()
    Runner(context).run(job.id)
    session.refresh(job)
    session.commit()
    return job


def test_a_whole_log_is_said_to_be_and_a_broken_one_is_a_failed_job(context, session, caplog):
    for number in range(5):
        audit.record(session, SYSTEM, "thing.changed", number=number)
    job = work_on(context, session, enqueue(session, "audit_verify"))
    assert (job.status, job.result["entries"]) == ("succeeded", 5)
    assert checks.last_verification(session, SYSTEM).whole
    session.commit()

    for statement in DROP_TRIGGERS[session.get_bind().dialect.name]:
        session.execute(text(statement))
    session.execute(text("UPDATE audit_entries SET ip = 'x' WHERE sequence = 3"))
    job = work_on(context, session, enqueue(session, "audit_verify"))

    assert (job.status, job.error["code"]) == ("failed", "AUDIT_LOG_BROKEN")
    assert "entry 3" in job.error["message"] and "entry 3" in caplog.text
    last = checks.last_verification(session, SYSTEM)
    assert (last.whole, last.broken_at, last.entries) == (False, 3, 2)


def test_a_log_without_its_head_is_still_told_to_be_broken(context, session):
    job = enqueue(session, "audit_verify")
    session.execute(text("DELETE FROM audit_head"))

    work_on(context, session, job)

    assert (job.status, job.error["code"]) == ("failed", "AUDIT_LOG_BROKEN")


@pytest.fixture
def written(session, auditor):
    actor = actor_for(auditor)
    for number, action in enumerate(("refund.approved", "refund.rejected", "job.started")):
        audit.record(session, actor, action, object_type="things", object_id=number, before={"note": "=1+1"}, after={"note": "Größe"})
    session.commit()
    return actor


def test_the_file_holds_what_the_filters_let_through_with_its_hashes(context, session, written, auditor):
    parameters = {"format": "csv", "action": ["refund.approved", "refund.rejected"], "actor": "asha@example.com"}
    job = work_on(context, session, start(session, written, "audit_export", parameters))

    assert (job.status, job.error) == ("succeeded", None)
    assert job.result_file == f"exports/{job.id}.csv" and job.result_name.startswith("audit-to-")
    pieces, _ = context.storage.open(job.result_file)
    lines = list(csv.DictReader(b"".join(pieces).decode("utf-8-sig").splitlines(keepends=True)))
    entries = session.scalars(select(AuditEntry).where(AuditEntry.sequence <= 2).order_by(AuditEntry.sequence.desc())).all()
    assert [(line["number"], line["hash"], line["actor_id"]) for line in lines] == [
        (str(entry.sequence), entry.hash, str(auditor.id)) for entry in entries
    ]
    assert (json.loads(lines[0]["before"]), json.loads(lines[0]["after"])) == ({"note": "=1+1"}, {"note": "Größe"})
    finished = session.scalars(select(AuditEntry).where(AuditEntry.action == "export.finished")).one()
    assert finished.details["filters"] == parameters


def test_a_workbook_is_made_in_the_same_way_and_a_role_taken_away_stops_it(context, session, written, auditor):
    job = work_on(context, session, start(session, written, "audit_export", {"format": "xlsx", "object_id": "1", "object_type": "things"}))
    sheet = openpyxl.load_workbook(context.config.data_dir / "storage" / job.result_file).active
    assert [row[3] for row in sheet.iter_rows(values_only=True)] == ["action", "refund.rejected"]

    session.get(Role, auditor.role_id).permissions = ["analytics:view"]
    job = work_on(context, session, start(session, written, "audit_export", {"format": "csv"}))
    assert (job.status, job.error["code"]) == ("failed", "FORBIDDEN")
