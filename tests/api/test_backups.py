"""Backups over the API: asked for, made by a worker, listed."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

import config
from adapters.backups.lock import one_operation
from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import now
from domain.jobs.models import Job
from tasks.context import make_context
from tasks.runner import Runner

BACKUP, LIST = "/api/v1/admin/system/backup", "/api/v1/admin/system/backups"
FULL = {"backup_type": "full", "include_uploads": False, "description": "Before the update"}


@pytest.fixture
def headers(bearer):
    return bearer(Permission.SYSTEM_BACKUP, Permission.JOBS_LIST, fresh_mfa=True)


@pytest.fixture
def ask(client, headers):
    def post(body=FULL, key=None, **changed):
        return client.post(BACKUP, json=body, headers={**headers, "Idempotency-Key": key or str(uuid4()), **changed})

    return post


@pytest.fixture
def work(settings, session):
    """Does what a worker would."""
    context = make_context(config.load(settings))

    def run(job_id):
        Runner(context).run(job_id)
        session.expire_all()
        return session.get_one(Job, job_id)

    yield run
    context.engine.dispose()


def job_of(session):
    job = session.scalars(select(Job)).one()
    session.commit()
    return job


def test_it_is_asked_for_made_and_listed(client, ask, work, session, headers):
    asked = ask()
    assert asked.status_code == 200
    job = job_of(session)
    assert asked.json["data"].keys() == {"job_id", "status", "estimated_duration_seconds"}
    assert (asked.json["data"]["job_id"], asked.json["data"]["status"]) == (str(job.id), "pending")
    assert asked.json["data"]["estimated_duration_seconds"] >= 1

    assert client.get(LIST, headers=headers).json["data"] == []
    done = work(job.id)
    session.commit()
    assert (done.status, done.error) == ("succeeded", None)
    assert done.result["verified"] is True

    listed = client.get(LIST, headers=headers).json
    (row,) = listed["data"]
    assert row["id"] == done.result["backup_id"]
    assert (row["backup_type"], row["effective_type"], row["description"], row["encrypted"]) == ("full", "full", "Before the update", False)
    assert row["verified"]["ok"] is True
    assert row["snapshot_at"].endswith("Z")
    assert row["reachable_until"] >= row["snapshot_at"]
    summary = listed["meta"]["summary"]
    assert (summary["verified"], summary["unreadable"], summary["stored_bytes"]) == (1, 0, row["size_bytes"])
    assert summary["newest_verified_at"] == row["snapshot_at"]
    assert summary["coverage"][0]["start"] == row["snapshot_at"] and summary["coverage"][-1]["end"] >= row["reachable_until"]

    shown = client.get(f"{LIST}/{row['id']}", headers=headers).json["data"]
    assert shown.items() >= row.items()
    assert shown["row_counts"]["background_jobs"] == 1
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)).all()
    assert actions == ["backup.requested", "backup.created"]


def test_the_files_of_the_storage_are_in_it_where_they_are_asked_for(client, ask, work, session, headers, app, tmp_path):
    file = tmp_path / "result.csv"
    file.write_bytes(b"id,name")
    app.extensions["storage"].save(f"exports/{uuid4()}.csv", file)
    ask(FULL | {"include_uploads": True})
    done = work(job_of(session).id)
    assert (done.status, done.error) == ("succeeded", None)
    shown = client.get(f"{LIST}/{done.result['backup_id']}", headers=headers).json["data"]
    assert shown["uploads"]["kind"] == "copied"
    assert (shown["uploads"]["count"], shown["uploads"]["bytes"], shown["uploads"]["new_count"]) == (1, 7, 1)


def test_one_an_hour_for_all_and_a_replay_is_free(ask, session, work):
    first = ask(key="a-key")
    refused = ask()
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_LIMITED")
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    again = ask(key="a-key")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json

    job = job_of(session)
    job.created_at = now() - timedelta(minutes=61)
    session.commit()
    assert (ask().status_code, ask().json["error"]["code"]) == (409, "OPERATION_IN_PROGRESS")  # the first still waits for its worker
    work(job.id)
    session.commit()
    assert ask().status_code == 200


def test_one_that_failed_does_not_count(ask, session):
    ask()
    job = job_of(session)
    job.status, job.finished_at = "failed", now()
    session.commit()
    assert ask().status_code == 200


def test_it_needs_a_fresh_second_factor_but_an_hour_comes_before(client, bearer, ask):
    headers = bearer(Permission.SYSTEM_BACKUP)
    assert ask(**headers).json["error"]["code"] == "MFA_REQUIRED"
    assert ask().status_code == 200
    assert ask(**headers).status_code == 429


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "backup_type"),
        ({"backup_type": "differential"}, "backup_type"),
        ({"backup_type": "full", "include_upload": True}, "include_upload"),
        ({"backup_type": "full", "include_uploads": "yes"}, "include_uploads"),
        ({"backup_type": "full", "description": "x" * 501}, "description"),
    ],
)
def test_what_it_does_not_understand_is_said(ask, session, body, field):
    answer = ask(body)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert [detail["field"] for detail in answer.json["error"]["details"]] == [field]
    assert session.scalars(select(Job)).all() == []


def test_an_incremental_one_is_for_sqlite(ask, session, work):
    answer = ask({"backup_type": "incremental"})
    if session.get_bind().dialect.name == "postgresql":
        assert (answer.status_code, answer.json["error"]["code"]) == (422, "INCREMENTAL_NOT_SUPPORTED")
        return
    done = work(job_of(session).id)
    assert (done.result["type"], done.result["effective_type"]) == ("incremental", "full")
    assert "no verified backup" in done.result["note"]


def test_a_backup_that_cannot_be_made_fails_with_its_reason(ask, session, work, monkeypatch):
    ask()
    monkeypatch.setattr("adapters.backups.vault.FolderVault.free_bytes", lambda self: 10)
    done = work(job_of(session).id)
    assert (done.status, done.error["code"]) == ("failed", "INSUFFICIENT_STORAGE")


def test_an_unknown_one_is_not_found(client, headers):
    assert client.get(f"{LIST}/{uuid4()}", headers=headers).status_code == 404


def test_pages_follow_each_other(client, headers, app, ask):
    vault = app.extensions["vault"]
    for _ in range(3):
        vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), lambda percent, stage: None)
    ids = [str(manifest.id) for manifest in vault.list()]
    first = client.get(f"{LIST}?page_size=2", headers=headers).json
    rest = client.get(f"{LIST}?page_size=2&cursor={first['meta']['next_cursor']}", headers=headers).json
    assert [row["id"] for row in first["data"] + rest["data"]] == ids
    assert rest["meta"]["next_cursor"] is None
    assert [row["id"] for row in client.get(f"{LIST}?page_size=2&page=2", headers=headers).json["data"]] == ids[2:]


def test_one_is_verified_again_and_a_damaged_one_is_said_to_be(client, headers, app, work, session):
    vault = app.extensions["vault"]
    made = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), lambda percent, stage: None)

    def verify(key):
        return client.post(f"{LIST}/{made.id}/verify", headers={**headers, "Idempotency-Key": key})

    asked = verify("one")
    assert (asked.status_code, asked.json["data"]["status"], asked.json["data"]["metadata"]) == (
        200,
        "pending",
        {"backup_id": str(made.id)},
    )
    assert verify("one").headers["Idempotent-Replayed"] == "true"
    assert verify("two").json["error"]["code"] == "OPERATION_IN_PROGRESS"
    done = work(job_of(session).id)
    session.commit()
    assert (done.status, done.result["verified"]) == ("succeeded", True)
    assert vault.get(made.id).verified.at > made.verified.at

    stored = max((vault.folder / str(made.id)).iterdir(), key=lambda file: file.stat().st_size)
    stored.write_bytes(stored.read_bytes()[:-1])
    session.commit()
    again = work(UUID(verify("three").json["data"]["job_id"]))
    session.commit()
    assert (again.status, again.error["code"]) == ("failed", "BACKUP_CORRUPT")
    shown = client.get(f"{LIST}/{made.id}", headers=headers).json["data"]
    assert (shown["verified"]["ok"], shown["verified"]["what"], shown["reachable_until"]) == (False, again.error["message"], None)
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)).all()
    session.commit()
    asked_and = ["backup.verification_requested", "backup.verified", "request.refused", "backup.verification_requested", "backup.damaged"]
    assert [action for action in asked_and if action in actions] == asked_and
    assert client.post(f"{LIST}/{uuid4()}/verify", headers={**headers, "Idempotency-Key": "four"}).status_code == 404


def test_a_verification_waits_for_its_turn(client, headers, app, work, session):
    vault = app.extensions["vault"]
    made = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), lambda percent, stage: None)
    client.post(f"{LIST}/{made.id}/verify", headers={**headers, "Idempotency-Key": "one"})
    job_id = job_of(session).id
    with one_operation(vault.folder):
        waiting = work(job_id)
        assert (waiting.status, waiting.stage) == ("pending", "Waits for another backup or restore to end")
        waiting.run_after = now()
        session.commit()
    assert work(job_id).status == "succeeded"
