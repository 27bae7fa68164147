"""People at work, over HTTP, while the portal is backed up, restored and rolled back: whatever was acknowledged is there afterwards, and
nobody gets another answer than their own, or 503 with the seconds to wait."""

import json
from collections import Counter
from threading import Event, Thread

import httpx
import pytest
from sqlalchemy import select

from domain.audit.models import AuditEntry
from domain.jobs.models import Job
from tests.proofs.clerk import reading
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Writer(Thread):
    """Starts one job after another, each of which is an entry of the audit log, and reads in between."""

    def __init__(self, desk, admin):
        super().__init__(daemon=True)
        self.desk, self.admin, self.enough = desk, admin, Event()
        self.acknowledged, self.answers, self.strange = [], Counter(), []

    def run(self):
        while not self.enough.is_set():
            try:
                answer = self.desk.start_job(self.admin, type="analytics_export", report_type="refunds")
                self.note(answer)
                if answer.status_code < 300:
                    self.acknowledged.append(answer.json()["data"]["job_id"])
                self.note(httpx.get(f"{self.desk.portal.url}/api/v1/admin/refunds", headers=self.desk.headers(self.admin), timeout=30))
            except httpx.HTTPError as error:
                self.strange.append(repr(error))
            self.enough.wait(0.02)

    def note(self, answer):
        self.answers[answer.status_code] += 1
        patient = answer.status_code == 503 and int(answer.headers.get("Retry-After", "0")) > 0
        if answer.status_code >= 300 and not patient:
            self.strange.append(f"{answer.status_code} {answer.text[:300]}")


def test_nothing_acknowledged_is_lost_and_every_answer_is_an_answer(desk):
    desk.make_refunds(30)
    writers = [Writer(desk, admin) for admin in range(2)]
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: all(len(writer.acknowledged) > 5 for writer in writers), "they are at work", seconds=60)
        backup = json.loads(desk.portal.flask("backup", "create", "--json"))
        at_work(writers)
        restored = json.loads(desk.portal.flask("backup", "restore", backup["id"], "--yes", "--json"))
        at_work(writers)
        desk.portal.flask("backup", "rollback", restored["restore_id"], "--yes", "--json")
        at_work(writers)
    finally:
        for writer in writers:
            writer.enough.set()
        for writer in writers:
            writer.join(60)
    assert [writer.strange for writer in writers] == [[], []]
    acknowledged = {job_id for writer in writers for job_id in writer.acknowledged}
    with reading(desk.engine) as session:
        jobs = {str(job_id) for job_id in session.scalars(select(Job.id))}
        entries = set(session.scalars(select(AuditEntry.object_id).where(AuditEntry.action == "job.started")))
    desk.portal.flask("audit", "verify")
    assert acknowledged - jobs == set()
    assert acknowledged - {str(entry) for entry in entries} == set()
    print(f"{len(acknowledged)} acknowledged; answers {sum((writer.answers for writer in writers), Counter())}")


def at_work(writers):
    before = [len(writer.acknowledged) for writer in writers]
    wait_until(
        lambda: all(len(writer.acknowledged) > some + 3 for writer, some in zip(writers, before, strict=True)), "they go on", seconds=60
    )
