"""The job endpoints as the frontend was promised them, on both databases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.identity.models import Admin
from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from tests.factories import make_admin, make_role

BASE = "/api/v1/admin/jobs"
EXPORT = {"type": "analytics_export", "report_type": "bookings", "from": "2025-10-01", "to": "2025-10-31", "format": "csv"}
METADATA = {"report_type": "bookings", "from": "2025-10-01", "to": "2025-10-31", "format": "csv"}
Headers = dict[str, str]


@pytest.fixture
def made(engine: Engine) -> Callable[..., Job]:
    """A committed job with these columns, detached."""

    def make(type: str = "analytics_export", creator: Admin | None = None, metadata: object = METADATA, **fields: object) -> Job:
        with Session(engine, expire_on_commit=False) as session:
            job = enqueue(session, type, creator_id=creator and creator.id, metadata=metadata)
            for name, value in fields.items():
                setattr(job, name, value)
            session.commit()
            session.expunge_all()
            return job

    return make


@pytest.fixture
def someone(engine: Engine) -> Callable[..., Admin]:
    """A committed admin with exactly these permissions."""

    def make(*permissions: str) -> Admin:
        with Session(engine, expire_on_commit=False) as session:
            admin = make_admin(session, role=make_role(session, *permissions))
            session.commit()
            session.expunge_all()
            return admin

    return make


@pytest.fixture
def operator(bearer) -> Headers:
    return bearer(*(permission for permission in Permission if permission.value.startswith("jobs:")), Permission.ANALYTICS_VIEW)


@pytest.fixture
def get(client: FlaskClient, operator: Headers) -> Callable[..., TestResponse]:
    return lambda path="", by=None, **query: client.get(BASE + path, query_string=query, headers=by or operator)


@pytest.fixture
def send(client: FlaskClient, operator: Headers) -> Callable[..., TestResponse]:
    def send_to(path: str, body: object = None, key: str | None = None, by: Headers | None = None, method: str = "POST") -> TestResponse:
        headers = {**(by or operator), "Idempotency-Key": key or uuid4().hex}
        return client.open(BASE + path, method=method, headers=headers, **({} if body is None else {"json": body}))

    return send_to


def stored(engine: Engine, job_id: UUID) -> Job:
    with Session(engine) as session:
        return session.get_one(Job, job_id)


def audited(engine: Engine, action: str) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action)) or 0


class TestList:
    def test_it_has_the_fields_of_the_ticket(self, get, made, someone):
        admin = someone()
        started = datetime(2025, 11, 12, 10, 0, 5, tzinfo=UTC)
        job = made(creator=admin, status="processing", progress_percent=65, created_at=started, started_at=started)

        answer = get().json

        [row] = answer["data"]
        assert answer["success"] is True
        assert row["eta_seconds"] > 0
        assert row | {"eta_seconds": None} == {
            "id": str(job.id),
            "type": "analytics_export",
            "status": "processing",
            "progress_percent": 65,
            "stage": None,
            "eta_seconds": None,
            "created_at": "2025-11-12T10:00:05Z",
            "started_at": "2025-11-12T10:00:05Z",
            "finished_at": None,
            "cancelled_at": None,
            "creator": {"id": str(admin.id), "name": admin.name},
            "metadata": METADATA,
            "attempts": 0,
            "error": None,
            "result_url": None,
            "result_expired_at": None,
        }
        assert answer["meta"] == {
            "page": 1,
            "page_size": 25,
            "total_items": 1,
            "total_pages": 1,
            "next_cursor": None,
            "ignored_parameters": [],
            "summary": {"pending": 0, "processing": 1, "succeeded": 0, "failed": 0, "cancelled": 0},
        }

    def test_jobs_of_the_system_have_no_creator(self, get, made):
        made("notification")
        assert get().json["data"][0]["creator"] is None

    def test_without_list_all_only_own_ones_exist(self, get, made, someone, bearer):
        admin = someone(Permission.JOBS_LIST)
        own, _others, _systems = made(creator=admin), made(creator=someone()), made("notification")

        answer = get(by=bearer(admin=admin)).json

        assert [row["id"] for row in answer["data"]] == [str(own.id)]
        assert answer["meta"]["summary"]["pending"] == answer["meta"]["total_items"] == 1

    def test_list_all_alone_lists_all(self, get, made, bearer):
        made()
        assert get(by=bearer(Permission.JOBS_LIST_ALL)).json["meta"]["total_items"] == 1

    def test_filters_narrow_the_rows_and_the_summary_follows_all_but_status(self, get, made, someone):
        admin, base = someone(), datetime(2026, 3, 1, 12, tzinfo=UTC)
        for day, status in enumerate(("pending", "succeeded", "succeeded", "failed", "cancelled")):
            made(creator=admin, status=status, created_at=base + timedelta(days=day))
        made("notification", status="succeeded", created_at=base)

        def found(**query: object) -> tuple[int, int, int]:
            answer = get(**query).json
            summary = answer["meta"]["summary"]
            assert len(answer["data"]) == answer["meta"]["total_items"]
            return len(answer["data"]), summary["succeeded"], sum(summary.values())

        assert found() == (6, 3, 6)
        assert found(status="succeeded") == (3, 3, 6)
        assert found(status="failed,cancelled") == (2, 3, 6)
        assert found(type="notification") == (1, 1, 1)
        assert found(type="notification,analytics_export", creator_id=admin.id) == (5, 2, 5)
        assert found(from_date="2026-03-02", to_date="2026-03-03") == (2, 2, 2)
        assert found(from_date="2026-03-03T12:00:00Z", status="failed") == (1, 1, 3)
        assert found(q="bookings") == (6, 3, 6)
        assert found(q="notif") == (1, 1, 1)

    def test_pages_and_cursors_go_through_all_newest_first(self, get, made):
        base = datetime(2026, 3, 1, tzinfo=UTC)
        expected = [str(made(created_at=base + timedelta(minutes=minute)).id) for minute in range(5)][::-1]

        pages = [row["id"] for page in (1, 2, 3, 4) for row in get(page=page, page_size=2).json["data"]]
        cursor, read = None, []
        while True:
            answer = get(page_size=2, **({"cursor": cursor} if cursor else {})).json
            read += [row["id"] for row in answer["data"]]
            cursor = answer["meta"]["next_cursor"]
            if cursor is None:
                break

        assert pages == read == expected

    @pytest.mark.parametrize(
        "query", ["status=done", "type=nothing", "creator_id=1", "page_size=101", "from_date=2026-02-02&to_date=2026-02-01", "cursor=x"]
    )
    def test_a_value_that_does_not_exist_is_422(self, client, operator, query):
        answer = client.get(f"{BASE}?{query}", headers=operator)
        assert (answer.status_code, answer.json["error"]["code"]) == (422, "VALIDATION_ERROR")


class TestShow:
    def test_it_adds_what_became_of_it(self, get, made, someone, engine):
        moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
        job = made(
            creator=someone(),
            status="failed",
            error={"code": "WORKER_LOST", "message": "The worker was lost"},
            finished_at=moment,
            attempts=3,
        )

        data = get(f"/{job.id}").json["data"]

        assert data["error"] == {"code": "WORKER_LOST", "message": "The worker was lost"}
        assert (data["finished_at"], data["attempts"]) == ("2026-03-01T12:00:00Z", 3)
        for name in (
            "result",
            "cancelled_at",
            "cancelled_by",
            "cancel_reason",
            "cancel_acknowledged_at",
            "stage",
            "eta_seconds",
            "result_url",
            "result_expired_at",
        ):
            assert data[name] is None
        assert data["events"] == []

    def test_own_ones_always_others_with_list_all(self, get, made, someone, bearer):
        admin = someone()
        assert get(f"/{made(creator=admin).id}", by=bearer(admin=admin)).status_code == 200
        assert get(f"/{made(creator=someone()).id}", by=bearer(admin=admin)).status_code == 404
        assert get(f"/{made(creator=someone()).id}", by=bearer(Permission.JOBS_LIST)).status_code == 404
        assert get(f"/{made(creator=someone()).id}", by=bearer(Permission.JOBS_LIST_ALL)).status_code == 200

    @pytest.mark.parametrize("job_id", ["6f1b8e0c-2f8e-4f0e-9d35-0a1f4f9a8c11", "job-uuid", "1"])
    def test_an_unknown_or_malformed_id_is_404(self, get, job_id):
        answer = get(f"/{job_id}")
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "NOT_FOUND")


class TestCancel:
    def test_it_is_cancelled_from_this_moment_on(self, send, get, made, engine):
        job = made()

        answer = send(f"/{job.id}/cancel", {"reason": "No longer needed"})

        assert answer.status_code == 200
        data = answer.json["data"]
        assert data.keys() == {"id", "status", "cancelled_at", "cancelled_by"}
        assert (data["id"], data["status"]) == (str(job.id), "cancelled")
        shown = get(f"/{job.id}").json["data"]
        assert (shown["cancelled_at"], shown["cancelled_by"]) == (data["cancelled_at"], data["cancelled_by"])
        assert shown["cancel_reason"] == "No longer needed"
        assert shown["cancel_acknowledged_at"] == data["cancelled_at"]  # nobody worked on it
        assert [line["event"] for line in shown["events"]] == ["cancelled"]
        assert audited(engine, "job.cancelled") == 1

    def test_the_body_may_be_left_out(self, send, made):
        assert send(f"/{made().id}/cancel").status_code == 200
        assert send(f"/{made().id}/cancel", {}).status_code == 200
        assert send(f"/{made().id}/cancel", {"reason": None}).status_code == 200
        assert send(f"/{made().id}/cancel", {"raeson": "x"}).status_code == 422

    def test_the_same_key_replays_and_a_new_one_conflicts(self, send, made, engine):
        job = made()
        first, again = (send(f"/{job.id}/cancel", key="once") for _ in range(2))
        assert (again.status_code, again.data, again.headers["Idempotent-Replayed"]) == (200, first.data, "true")
        assert audited(engine, "job.cancelled") == 1

        refused = send(f"/{job.id}/cancel")
        assert refused.status_code == 409
        assert (refused.json["error"]["code"], refused.json["error"]["current_status"]) == ("CANNOT_CANCEL", "cancelled")
        assert send(f"/{job.id}/cancel", {"reason": "Another body"}, key="once").status_code == 422

    def test_a_finished_job_never_changes(self, send, made):
        refused = send(f"/{made(status='succeeded').id}/cancel")
        assert (refused.status_code, refused.json["error"] | {"request_id": ""}) == (
            409,
            {"code": "CANNOT_CANCEL", "message": "Job has already completed", "request_id": "", "current_status": "succeeded"},
        )

    def test_a_job_past_its_point_of_no_return_goes_on(self, send, made, engine):
        job = made(status="processing", irrevocable_at=now())
        assert send(f"/{job.id}/cancel").json["error"]["current_status"] == "processing"
        assert send(f"/{made('refund_processing').id}/cancel").status_code == 409
        assert stored(engine, job.id).status == "processing"

    def test_who_may(self, send, made, someone, bearer):
        creator = someone()
        assert send(f"/{made(creator=creator).id}/cancel", by=bearer(admin=creator)).status_code == 200
        watcher = send(f"/{made(creator=creator).id}/cancel", by=bearer(Permission.JOBS_LIST_ALL))
        assert (watcher.status_code, watcher.json["error"]["required_permission"]) == (403, "jobs:cancel")
        blind = send(f"/{made(creator=creator).id}/cancel", by=bearer(Permission.JOBS_CANCEL))
        assert blind.status_code == 404

    def test_it_needs_a_key(self, client, operator, made):
        refused = client.post(f"{BASE}/{made().id}/cancel", headers=operator)
        assert (refused.status_code, refused.json["error"]["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")


class TestDelete:
    def test_it_is_gone_at_once_with_its_file(self, send, get, made, app: Flask, engine, tmp_path):
        keep(app, tmp_path, "exports/a.csv")
        job = made(status="succeeded", result_file="exports/a.csv", result_name="bookings.csv", result_type="text/csv")

        answer = send(f"/{job.id}", method="DELETE", key="once")

        assert (answer.status_code, answer.data) == (204, b"")
        assert get(f"/{job.id}").status_code == get(f"/{job.id}/result").status_code == 404
        assert get().json["meta"]["total_items"] == 0
        with pytest.raises(FileNotFoundError):
            app.extensions["storage"].open("exports/a.csv")
        replay = send(f"/{job.id}", method="DELETE", key="once")
        assert (replay.status_code, replay.data, replay.headers["Idempotent-Replayed"]) == (204, b"", "true")
        assert send(f"/{job.id}", method="DELETE").status_code == 404
        assert audited(engine, "job.deleted") == 1

    @pytest.mark.parametrize("status", ["pending", "processing"])
    def test_an_unfinished_job_stays(self, send, get, made, status):
        job = made(status=status)
        refused = send(f"/{job.id}", method="DELETE")
        assert refused.status_code == 400
        assert refused.json["error"] | {"request_id": ""} == {
            "code": "CANNOT_DELETE",
            "message": "Can only delete completed (succeeded/failed/cancelled) jobs",
            "request_id": "",
            "current_status": status,
        }
        assert get(f"/{job.id}").status_code == 200

    def test_who_may(self, send, made, someone, bearer):
        creator = someone()
        assert send(f"/{made(creator=creator, status='failed').id}", method="DELETE", by=bearer(admin=creator)).status_code == 204
        watcher = send(f"/{made(status='failed').id}", method="DELETE", by=bearer(Permission.JOBS_LIST_ALL))
        assert (watcher.status_code, watcher.json["error"]["required_permission"]) == (403, "jobs:delete")


class TestRetry:
    def test_it_is_a_new_job_that_names_the_old(self, send, get, made, engine):
        job = made(status="failed")

        answer = send(f"/{job.id}/retry", key="once").json["data"]

        assert answer["status"] == "pending"
        assert answer["metadata"] == {**METADATA, "retry_of": str(job.id)}
        assert get(f"/{answer['job_id']}").json["data"]["metadata"] == answer["metadata"]
        assert get(f"/{job.id}").json["data"]["status"] == "failed"
        assert send(f"/{job.id}/retry", key="once").json["data"] == answer
        assert audited(engine, "job.retried") == 1

    def test_only_failed_ones_that_may(self, send, made):
        for job in (made(status="succeeded"), made("refund_processing", status="failed")):
            refused = send(f"/{job.id}/retry")
            assert (refused.status_code, refused.json["error"]["code"]) == (409, "CANNOT_RETRY")


class TestStart:
    def test_an_export_is_written_as_asked(self, send, get, engine):
        answer = send("", EXPORT, key="once")

        assert answer.status_code == 200
        data = answer.json["data"]
        assert (data["status"], data["type"], data["metadata"]) == ("pending", "analytics_export", METADATA)
        shown = get(f"/{data['job_id']}").json["data"]
        assert (shown["metadata"], shown["creator"] is None) == (METADATA, False)
        assert send("", EXPORT, key="once").json["data"] == data
        assert audited(engine, "job.started") == 1

    def test_a_bulk_decision_is_written_as_asked(self, send, bearer):
        ids = [str(uuid4()) for _ in range(500)]
        wish = {"type": "bulk_operation", "action": "reject", "refund_ids": ids, "reason": "Duplicates"}
        answer = send("", wish, by=bearer(Permission.REFUNDS_APPROVE))
        assert answer.status_code == 200
        metadata = answer.json["data"]["metadata"]
        assert (metadata["action"], metadata["refund_ids"], metadata["reason"]) == ("reject", ids, "Duplicates")

    def test_each_type_asks_for_its_permission(self, send, bearer):
        refused = send("", EXPORT, by=bearer(Permission.REFUNDS_APPROVE))
        assert (refused.status_code, refused.json["error"]["required_permission"]) == (403, "analytics:view")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"type": "backup"}, "type"),
            ({"type": None}, "type"),
            ({"report_type": "users"}, "report_type"),
            ({"format": "pdf"}, "format"),
            ({"from": "2025-13-01"}, "from"),
            ({"from": "2025-10-01T00:00:00Z"}, "from"),
            ({"from": "2025-11-01"}, "from"),
            ({"to": 20251031}, "to"),
            ({"fromat": "csv"}, "fromat"),
            ({"type": "bulk_operation"}, "action"),
        ],
    )
    def test_what_does_not_fit_is_named(self, send, change, field):
        refused = send("", EXPORT | change)
        assert refused.status_code == 422
        assert field in [detail["field"] for detail in refused.json["error"]["details"]]

    @pytest.mark.parametrize("ids", [[], ["x"], [str(UUID(int=1))] * 2, [str(UUID(int=number)) for number in range(501)], "all"])
    def test_a_bulk_decision_names_1_to_500_refunds_once_each(self, send, bearer, ids):
        wish = {"type": "bulk_operation", "action": "approve", "refund_ids": ids, "reason": "Storm"}
        refused = send("", wish, by=bearer(Permission.REFUNDS_APPROVE))
        assert refused.status_code == 422
        assert refused.json["error"]["details"][0]["field"].startswith("refund_ids")


class TestResult:
    def test_it_comes_as_a_download_and_is_audited(self, get, made, app, engine, tmp_path):
        keep(app, tmp_path, "exports/b.csv", b"id,amount\r\n")
        job = made(status="succeeded", result_file="exports/b.csv", result_name="bookings ü.csv", result_type="text/csv")

        url = get(f"/{job.id}").json["data"]["result_url"]
        answer = get(url.removeprefix(BASE))

        assert (answer.status_code, answer.data) == (200, b"id,amount\r\n")
        assert answer.headers["Content-Disposition"].startswith("attachment; filename")
        assert "filename*=UTF-8''bookings%20%C3%BC.csv" in answer.headers["Content-Disposition"]
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert answer.headers["Content-Length"] == "11"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert audited(engine, "export.downloaded") == 1

    def test_a_job_without_one_has_none(self, get, made, engine):
        missing = made(status="succeeded", result_file="exports/gone.csv")
        for job in (made(), missing):
            assert get(f"/{job.id}/result").status_code == 404
        assert audited(engine, "export.downloaded") == 0

    def test_one_whose_file_was_removed_for_its_age_says_since_when(self, get, made, bearer, engine):
        at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        job = made(status="succeeded", result_name="bookings.csv", result_type="text/csv", result_expired_at=at)

        answer = get(f"/{job.id}/result")

        assert (answer.status_code, answer.json["error"]["code"]) == (410, "RESULT_EXPIRED")
        assert answer.json["error"]["expired_at"].startswith("2026-03-01T12:00:00")
        assert audited(engine, "export.downloaded") == 0
        data = get(f"/{job.id}").json["data"]
        assert (data["status"], data["result_url"], data["result_expired_at"]) == ("succeeded", None, "2026-03-01T12:00:00Z")
        assert get(f"/{job.id}/result", by=bearer(Permission.JOBS_LIST_ALL)).status_code == 403

    def test_who_may_no_longer_export_may_not_have_the_file_either(self, get, made, someone, bearer, app, tmp_path):
        keep(app, tmp_path, "exports/c.csv")
        creator = someone(Permission.JOBS_LIST)
        job = made(creator=creator, status="succeeded", result_file="exports/c.csv")
        assert get(f"/{job.id}/result", by=bearer(admin=creator)).status_code == 403
        assert get(f"/{job.id}/result", by=bearer(Permission.ANALYTICS_VIEW)).status_code == 404


def keep(app: Flask, folder, name: str, content: bytes = b"content") -> None:
    source = folder / "source"
    source.write_bytes(content)
    app.extensions["storage"].save(name, source)
