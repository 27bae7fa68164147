"""Restores over the API: asked for, done by a worker, compared with the gateways, acknowledged, taken back."""

from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import config
from adapters.backups.lock import one_operation
from adapters.restores.journal import Journal
from domain.access import Permission, operator
from domain.audit.models import AuditEntry
from domain.audit.verification import verify
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import now
from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.marketplace.models import User
from domain.refunds.models import Refund, RefundAttempt
from domain.restores.models import Restore
from tasks.context import make_context
from tasks.runner import Runner
from tests.factories import make_refund, make_restore

RESTORE, RESTORES = "/api/v1/admin/system/restore", "/api/v1/admin/system/restores"
REFUNDS = "/api/v1/admin/refunds"


@pytest.fixture
def headers(bearer):
    permissions = (Permission.SYSTEM_RESTORE, Permission.JOBS_LIST_ALL, Permission.REFUNDS_APPROVE, Permission.REFUNDS_LIST)
    return bearer(*permissions, fresh_mfa=True)


@pytest.fixture
def post(client, headers):
    def send(url, body=None, key=None, **changed):
        return client.post(url, json={} if body is None else body, headers={**headers, "Idempotency-Key": key or str(uuid4()), **changed})

    return send


@pytest.fixture
def work(settings, engine):
    """Does what a worker would; answers the jobs of that type."""
    context = make_context(config.load(settings))

    def run(type):
        with Session(engine) as session:
            ids = session.scalars(select(Job.id).where(Job.type == type, Job.status == "pending")).all()
        for job_id in ids:
            Runner(context).run(job_id)
        engine.dispose()
        with Session(engine, expire_on_commit=False) as session:
            return session.scalars(select(Job).where(Job.id.in_(ids))).all()

    yield run
    context.engine.dispose()


@pytest.fixture
def back_up(app, session):
    def make():
        session.commit()
        return app.extensions["vault"].create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), lambda percent, stage: None)

    return make


def wish(manifest, **changed):
    return {"backup_id": str(manifest.id), "confirmation_code": f"RESTORE-{manifest.snapshot_at.astimezone(UTC):%Y-%m-%d}", **changed}


def approve(post, refund):
    return post(f"{REFUNDS}/{refund.id}/approve", {"reason": "Nobody came", "approved_amount_cents": refund.requested_amount_cents})


def test_a_hundred_refunds_paid_since_the_backup_stay_paid_and_are_never_paid_again(client, post, work, back_up, session, engine, headers):
    paid = [make_refund(session, requested_amount_cents=4000) for _ in range(100)]
    waiting = make_refund(session, requested_amount_cents=4000)
    manifest = back_up()
    for refund in paid:
        assert approve(post, refund).status_code == 200
    work("refund_processing")
    session.get_one(User, waiting.user_id).name = "Somebody else"
    session.commit()
    session.close()

    asked = post(RESTORE, wish(manifest))
    assert asked.status_code == 200, asked.json
    moment = manifest.snapshot_at.isoformat().replace("+00:00", "Z")
    assert asked.json["data"]["warning"] == f"This will replace current data with backup from {moment}"
    (job,) = work("restore")
    assert (job.status, job.error) == ("succeeded", None)
    assert job.result["recovered_to"] == moment
    assert job.result["refunds_carried"] == 100
    assert asked.json["data"]["job_id"] == str(job.id)

    shown = client.get(f"{RESTORES}/{job.id}", headers=headers).json["data"]
    assert (shown["report"], shown["acknowledged_at"], shown["can_roll_back"], shown["rows_left_out"]) == (None, None, True, 0)
    assert shown["frozen_ms"] > 0
    refused = approve(post, waiting)
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "APPROVALS_FROZEN")
    assert post(f"{RESTORES}/{job.id}/acknowledge").json["error"]["code"] == "NOT_CHECKED"

    (check,) = work("restore_check")
    assert (check.status, check.error) == ("succeeded", None)
    report = client.get(f"{RESTORES}/{job.id}", headers=headers).json["data"]["report"]
    assert {name: report[name] for name in ("agrees", "taken_over", "nothing_found", "differs", "uncertain")} == {
        "agrees": 100,
        "taken_over": 0,
        "nothing_found": 1,
        "differs": 0,
        "uncertain": 0,
    }
    assert post(f"{RESTORES}/{job.id}/acknowledge").json["data"]["acknowledged_by"]

    with Session(engine) as after:
        attempts = after.scalars(select(RefundAttempt)).all()
        assert len(attempts) == 100
        assert {refund.status for refund in after.scalars(select(Refund).where(Refund.id.in_([one.id for one in paid])))} == {"processed"}
        assert verify(after, operator()).whole
    again = [approve(post, refund) for refund in paid]
    assert {(answer.status_code, answer.json["error"]["code"]) for answer in again} == {(409, "NOT_PENDING")}
    assert approve(post, waiting).status_code == 200
    work("refund_processing")
    with Session(engine) as after:
        assert len(after.scalars(select(RefundAttempt)).all()) == 101


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestRefusals:
    def test_a_wrong_code_says_the_right_one(self, post, back_up):
        manifest = back_up()
        refused = post(RESTORE, wish(manifest, confirmation_code="RESTORE-1999-01-01"))
        assert (refused.status_code, refused.json["error"]["code"]) == (422, "WRONG_CONFIRMATION_CODE")
        assert wish(manifest)["confirmation_code"] in refused.json["error"]["message"]

    def test_it_needs_a_fresh_second_factor(self, client, bearer, back_up):
        headers = {**bearer(Permission.SYSTEM_RESTORE), "Idempotency-Key": "one"}
        assert client.post(RESTORE, json=wish(back_up()), headers=headers).json["error"]["code"] == "MFA_REQUIRED"

    def test_one_an_hour_and_a_replay_is_free(self, post, back_up, session):
        body, key = wish(back_up()), str(uuid4())
        first = post(RESTORE, body, key=key)
        assert first.status_code == 200
        assert post(RESTORE, body, key=key).json == first.json
        refused = post(RESTORE, body)
        assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_LIMITED")
        session.execute(update(Job).values(status="failed", finished_at=now()))
        session.commit()
        assert post(RESTORE, body).status_code == 200

    def test_not_while_another_operation_runs(self, post, app, back_up):
        body = wish(back_up())
        with one_operation(app.extensions["vault"].folder):
            refused = post(RESTORE, body)
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "OPERATION_IN_PROGRESS")

    def test_an_unknown_backup_and_a_schema_that_is_not_known_yet(self, post, app, back_up):
        manifest = back_up()
        assert post(RESTORE, wish(manifest, backup_id=str(uuid4()))).status_code == 404
        app.extensions["vault"].catalog.write(replace(manifest, schema_revision="9999", app_version="7.0"))
        refused = post(RESTORE, wish(manifest))
        assert (refused.status_code, refused.json["error"]["code"]) == (422, "BACKUP_SCHEMA_NEWER")
        assert "7.0" in refused.json["error"]["message"]

    @pytest.mark.parametrize("target", ["yesterday", "2025-11-12", "2025-11-12T10:00:00", 5])
    def test_a_target_that_is_no_time_with_its_zone(self, post, back_up, target):
        refused = post(RESTORE, wish(back_up(), target_timestamp=target))
        assert refused.json["error"]["details"][0]["field"] == "target_timestamp"

    def test_a_target_before_the_first_backup(self, post, back_up):
        manifest = back_up()
        earlier = manifest.snapshot_at - timedelta(hours=30)
        body = wish(manifest, target_timestamp=earlier.isoformat(), confirmation_code=f"RESTORE-{earlier:%Y-%m-%d}")
        assert post(RESTORE, body).json["error"]["code"] == "PITR_OUT_OF_RANGE"

    @pytest.mark.parametrize("doubt", ["uncertain", "differs"])
    def test_doubtful_refunds_take_a_note(self, post, session, doubt):
        report = {"agrees": 0, "taken_over": 0, "nothing_found": 0, "differs": 0, "uncertain": 0, "looked_at": 2, "refunds": []}
        report[doubt] = 2
        restore = make_restore(session, report=report, acknowledged_at=None, acknowledged_by=None)
        session.commit()
        refused = post(f"{RESTORES}/{restore.id}/acknowledge")
        assert refused.json["error"]["details"][0]["field"] == "note"
        assert post(f"{RESTORES}/{restore.id}/acknowledge", {"note": "Looked up by hand"}).status_code == 200
        assert session.scalars(select(AuditEntry.action)).all()[-1] == "restore.acknowledged"


def test_a_rollback_puts_back_what_was_replaced(client, post, work, back_up, session, engine, headers):
    refund = make_refund(session)
    manifest = back_up()
    session.get_one(User, refund.user_id).name = "Somebody else"
    session.commit()
    session.close()
    post(RESTORE, wish(manifest))
    (restored,) = work("restore")
    assert (restored.status, restored.error) == ("succeeded", None)
    code = f"ROLLBACK-{now():%Y-%m-%d}"
    assert post(f"{RESTORES}/{restored.id}/rollback", {"confirmation_code": "no"}).json["error"]["code"] == "WRONG_CONFIRMATION_CODE"
    assert post(f"{RESTORES}/{restored.id}/rollback", {"confirmation_code": code}).status_code == 200
    (back,) = work("restore")
    assert (back.status, back.error) == ("succeeded", None)
    with Session(engine) as after:
        assert after.get_one(User, refund.user_id).name == "Somebody else"
        assert verify(after, operator()).whole
    rows = client.get(RESTORES, headers=headers).json
    assert [row["kind"] for row in rows["data"]] == ["rollback", "restore"]
    assert rows["meta"]["summary"]["unacknowledged"] == 2
    refused = post(f"{RESTORES}/{restored.id}/rollback", {"confirmation_code": code})
    assert refused.json["error"]["code"] == "NOTHING_TO_ROLL_BACK"


@pytest.mark.parametrize("left_at", ["carrying", "failed"])
def test_a_run_that_ended_in_the_middle_is_not_silently_run_again(app, post, work, back_up, session, engine, left_at):
    user_id = make_refund(session).user_id
    manifest = back_up()
    session.get_one(User, user_id).name = "Somebody else"
    session.commit()
    session.close()
    asked = post(RESTORE, wish(manifest)).json["data"]
    Journal(app.extensions["restorer"].folder / asked["job_id"]).step(left_at)
    (job,) = work("restore")
    assert (job.status, job.error["code"]) == ("failed", "RESTORE_INTERRUPTED")
    with Session(engine) as after:
        assert after.get_one(User, user_id).name == "Somebody else"
    assert post(RESTORE, wish(manifest)).status_code == 200


@pytest.mark.parametrize(
    ("meanwhile", "code"),
    [
        (lambda job, admin: setattr(job, "created_at", now() - timedelta(minutes=61)), "RESTORE_WAITED_TOO_LONG"),
        (lambda job, admin: setattr(admin, "disabled_at", now()), "FORBIDDEN"),
        (lambda job, admin: setattr(admin, "role_id", "finance_admin"), "FORBIDDEN"),
    ],
)
def test_one_that_waited_begins_only_while_it_is_what_was_agreed_to(post, work, back_up, session, engine, meanwhile, code):
    asked = post(RESTORE, wish(back_up())).json["data"]
    with Session(engine) as now_on, now_on.begin():
        job = now_on.get_one(Job, UUID(asked["job_id"]))
        meanwhile(job, now_on.get_one(Admin, job.creator_id))
    (job,) = work("restore")
    assert (job.status, job.error["code"]) == ("failed", code)
    assert session.scalars(select(Restore)).all() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # on PostgreSQL it is a database
def test_a_report_is_read_while_nobody_can_tell_whether_what_was_replaced_is_kept(client, post, headers, session, app):
    restore = make_restore(session)
    session.commit()
    folder = app.extensions["restorer"].folder
    folder.mkdir(parents=True)
    (folder / str(restore.id)).symlink_to("x" * 300)  # as unreadable as on a disk that fails
    shown = client.get(f"{RESTORES}/{restore.id}", headers=headers)
    assert (shown.status_code, shown.json["data"]["can_roll_back"]) == (200, False)
    refused = post(f"{RESTORES}/{restore.id}/rollback", {"confirmation_code": f"ROLLBACK-{restore.swapped_at.astimezone(UTC):%Y-%m-%d}"})
    assert refused.json["error"]["code"] == "BACKUP_DIR_UNUSABLE"
