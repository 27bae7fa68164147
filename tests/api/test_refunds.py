"""The refund endpoints as the frontend was promised them, on both databases, paid at the sandbox gateway."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.jobs.models import Job
from domain.refunds.models import Refund
from tests.factories import make_admin, make_payment, make_refund

BASE = "/api/v1/admin/refunds"
LARGE = 9_000_000


@pytest.fixture
def made(engine: Engine) -> Callable[..., Refund]:
    """A committed refund, detached."""

    def make(**fields: object) -> Refund:
        with Session(engine, expire_on_commit=False) as session:
            refund = make_refund(session, **fields)
            session.commit()
            session.expunge_all()
            return refund

    return make


@pytest.fixture
def finance(bearer) -> Callable[[], dict[str, str]]:
    """The headers of a new finance admin with a fresh second factor."""
    wanted = (Permission.REFUNDS_LIST, Permission.REFUNDS_APPROVE, Permission.PAYMENTS_REFUND)
    return lambda: bearer(*wanted, fresh_mfa=True)


@pytest.fixture
def send(client: FlaskClient, finance) -> Callable[..., TestResponse]:
    headers = finance()

    def send_to(path: str, body: object = None, key: str | None = None, by: dict[str, str] | None = None) -> TestResponse:
        given = {"reason": "Service was not provided."} if body is None else body
        return client.post(path, json=given, headers={**(by or headers), "Idempotency-Key": key or uuid4().hex})

    return send_to


@pytest.fixture
def get(client: FlaskClient, finance) -> Callable[..., TestResponse]:
    headers = finance()
    return lambda path=BASE, **query: client.get(path, query_string=query, headers=headers)


class TestList:
    def test_it_has_the_fields_of_the_ticket(self, get, made):
        evidence = [{"type": "image", "url": "https://cdn.example.com/proof.jpg"}]
        refund = made(requested_amount_cents=500_000, evidence=evidence, priority="high", description="Vendor never showed up")

        answer = get(status="pending").json

        [row] = answer["data"]
        assert answer["success"] is True
        assert row["id"] == str(refund.id)
        assert row["refund_number"] == refund.refund_number
        assert row["status"] == "pending"
        assert {"id", "amount_cents", "currency", "paid_at"} <= row["payment"].keys()
        assert {"id", "booking_number"} <= row["booking"].keys()
        assert {"id", "name", "email"} <= row["user"].keys()
        assert {"id", "name"} <= row["vendor"].keys()
        assert row["requested_amount_cents"] == 500_000
        assert row["reason"] == "service_not_rendered"
        assert row["description"] == "Vendor never showed up"
        assert row["evidence"] == evidence
        assert row["requested_at"].endswith("Z")
        assert (row["requested_by"], row["priority"], row["admin_notes"]) == ("user", "high", None)
        assert answer["meta"] | {"next_cursor": None} == {
            "page": 1,
            "page_size": 25,
            "total_items": 1,
            "total_pages": 1,
            "next_cursor": None,
            "ignored_parameters": [],
            "summary": {
                "pending": 1,
                "approved": 0,
                "rejected": 0,
                "processed": 0,
                "total_amount_pending_cents": 500_000,
                "by_currency": {"INR": 500_000},
                "processing": {"failed": 0, "unknown": 0},
            },
        }

    @pytest.mark.parametrize("size", [1, 100])
    def test_a_page_takes_three_queries_whatever_its_size(self, engine, get, made, size):
        for _ in range(5):
            made()
        queries: list[str] = []

        def note(*call):
            queries.append(call[2])

        event.listen(engine, "before_cursor_execute", note)
        assert get(page_size=size).status_code == 200
        event.remove(engine, "before_cursor_execute", note)
        queries = [query for query in queries if query != "BEGIN"]
        assert len(queries) <= 3, queries

    def test_newest_first_and_past_the_end_empty(self, get, made):
        base = datetime(2026, 3, 1, tzinfo=UTC)
        refunds = [made(requested_at=base + timedelta(days=day)) for day in range(3)]
        assert [row["id"] for row in get().json["data"]] == [str(refund.id) for refund in reversed(refunds)]
        beyond = get(page=9).json
        assert (beyond["data"], beyond["meta"]["total_items"]) == ([], 3)

    def test_the_summary_follows_every_filter_but_status(self, get, made):
        made(requested_amount_cents=100)
        made(requested_amount_cents=900)
        made(requested_amount_cents=900, status="rejected")
        meta = get(min_amount=500, status="rejected").json["meta"]
        assert meta["total_items"] == 1
        assert (meta["summary"]["pending"], meta["summary"]["rejected"]) == (1, 1)

    def test_days_are_whole_and_both_ends_count(self, get, made):
        for moment in ("2026-03-01T00:00:00", "2026-03-02T23:59:59", "2026-03-03T00:00:00"):
            made(requested_at=datetime.fromisoformat(moment).replace(tzinfo=UTC))
        assert get(from_date="2026-03-01", to_date="2026-03-02").json["meta"]["total_items"] == 2
        assert get(from_date="2026-03-02", to_date="2026-03-01").status_code == 422

    def test_several_states_at_once(self, get, made):
        made()
        made(status="rejected")
        made(status="processed")
        assert get(status="pending,rejected").json["meta"]["total_items"] == 2

    def test_what_does_not_exist_is_ignored_by_name(self, get, made):
        assert get(colour="red").json["meta"]["ignored_parameters"] == ["colour"]

    @pytest.mark.parametrize(
        "query",
        [
            {"status": "open"}, {"page": "1e20"}, {"page": "0"}, {"page_size": "101"}, {"page_size": "x"}, {"user_id": "1"},
            {"min_amount": "-1"}, {"min_amount": "99999999999999999999"}, {"from_date": "yesterday"}, {"cursor": "!!"},
            {"awaiting": "coffee"}, {"page": "\u0663"}, {"q": "\x00"},
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_named(self, get, query):
        answer = get(**query)
        assert answer.status_code == 422
        assert answer.json["error"]["code"] == "VALIDATION_ERROR"
        assert [problem["field"] for problem in answer.json["error"]["details"]] == list(query)

    def test_the_cursor_reads_on(self, get, made):
        ids = {str(made().id) for _ in range(3)}
        first = get(page_size=2).json
        second = get(page_size=2, cursor=first["meta"]["next_cursor"]).json
        assert {row["id"] for row in first["data"] + second["data"]} == ids
        assert second["meta"]["next_cursor"] is None


class TestApprove:
    def test_it_pays_and_answers_as_the_ticket_says(self, send, made, get):
        refund = made(requested_amount_cents=500_000)
        body = {
            "approved_amount_cents": 400_000,
            "reason": "Customer complaint verified. Service was not provided.",
            "admin_notes": "Contacted vendor - confirmed they missed appointment",
            "notify_user": True,
            "notify_vendor": True,
        }

        answer = send(f"{BASE}/{refund.id}/approve", body)

        assert answer.status_code == 200
        data = answer.json["data"]
        assert (data["id"], data["status"], data["refund_processed"]) == (str(refund.id), "approved", True)
        assert data["approved_at"].endswith("Z")
        assert UUID(data["approved_by"])
        assert data["transaction_id"]
        shown = get(f"{BASE}/{refund.id}").json["data"]
        assert (shown["status"], shown["approved_amount_cents"], shown["transaction_id"]) == ("processed", 400_000, data["transaction_id"])
        assert shown["admin_notes"] == body["admin_notes"]
        assert [entry["action"] for entry in shown["timeline"]] == ["refund.approved", "refund.processed"]
        assert shown["money"]["refundable_cents"] == 100_000

    def test_again_with_its_key_it_answers_the_same_and_does_nothing(self, send, made, engine):
        refund = made()
        first, second = (send(f"{BASE}/{refund.id}/approve", key="k1") for _ in range(2))
        assert (first.status_code, first.data) == (second.status_code, second.data)
        assert second.headers["Idempotent-Replayed"] == "true"
        with Session(engine) as session:
            assert session.scalar(select(func.count()).where(AuditEntry.action == "refund.approved")) == 1

    def test_a_second_decision_is_a_conflict(self, send, made):
        refund = made()
        send(f"{BASE}/{refund.id}/approve")
        answer = send(f"{BASE}/{refund.id}/approve")
        assert answer.status_code == 409
        assert (answer.json["error"]["code"], answer.json["error"]["current_status"]) == ("NOT_PENDING", "processed")

    def test_the_first_of_two_answers_202(self, send, made, finance):
        refund = made(requested_amount_cents=LARGE)
        answer = send(f"{BASE}/{refund.id}/approve")
        assert answer.status_code == 202
        data = answer.json["data"]
        assert (data["status"], data["refund_processed"], data["transaction_id"]) == ("pending", False, None)
        assert data["approvals"] == {"required": 2, "received": 1}
        assert send(f"{BASE}/{refund.id}/approve").json["error"]["code"] == "SAME_APPROVER"
        other = finance()
        mismatch = send(f"{BASE}/{refund.id}/approve", {"reason": "Checked", "approved_amount_cents": LARGE - 1}, by=other)
        assert (mismatch.status_code, mismatch.json["error"]["code"]) == (409, "APPROVAL_MISMATCH")
        second = send(f"{BASE}/{refund.id}/approve", by=other)
        assert (second.status_code, second.json["data"]["refund_processed"]) == (200, True)

    def test_above_the_limit_it_wants_a_fresh_second_factor(self, send, made, bearer):
        answer = send(f"{BASE}/{made(requested_amount_cents=LARGE).id}/approve", by=bearer(Permission.REFUNDS_APPROVE))
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "MFA_REQUIRED")

    def test_waiting_ones_are_found(self, send, made, get):
        refund = made(requested_amount_cents=LARGE)
        made()
        send(f"{BASE}/{refund.id}/approve")
        [row] = get(awaiting="second_approval").json["data"]
        assert (row["id"], row["approvals_received"]) == (str(refund.id), 1)

    def test_a_misspelt_amount_never_becomes_a_full_refund(self, send, made, get):
        refund = made()
        answer = send(f"{BASE}/{refund.id}/approve", {"reason": "Checked", "approved_amount": 100})
        assert answer.status_code == 422
        assert answer.json["error"]["details"][0]["field"] == "approved_amount"
        assert get(f"{BASE}/{refund.id}").json["data"]["status"] == "pending"

    @pytest.mark.parametrize("amount", [100.0, "100", True, 0, -5, 2**63, 1e30, [], {}])
    def test_money_is_a_whole_number(self, send, made, amount):
        answer = send(f"{BASE}/{made().id}/approve", {"reason": "Checked", "approved_amount_cents": amount})
        assert answer.status_code == 422
        assert answer.json["error"]["code"] == "VALIDATION_ERROR"

    def test_more_than_is_left_says_what_is(self, send, made, engine):
        with Session(engine) as session:
            payment = make_payment(session, amount_cents=1000)
            first, second = (make_refund(session, payment, requested_amount_cents=800).id for _ in range(2))
            session.commit()
        send(f"{BASE}/{first}/approve")
        answer = send(f"{BASE}/{second}/approve")
        assert answer.status_code == 422
        assert (answer.json["error"]["code"], answer.json["error"]["refundable_cents"]) == ("AMOUNT_NOT_REFUNDABLE", 200)

    def test_without_the_permission_it_is_403_and_noted(self, send, made, bearer, engine):
        refund = made()
        answer = send(f"{BASE}/{refund.id}/approve", by=bearer(Permission.REFUNDS_LIST))
        assert (answer.status_code, answer.json["error"]["required_permission"]) == (403, "refunds:approve")
        with Session(engine) as session:
            entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "access.refused")).one()
        assert (entry.object_type, entry.object_id) == ("refund_requests", str(refund.id))

    @pytest.mark.parametrize("refund_id", ["6a1f2c3d-4b5e-4f60-8a7b-9c0d1e2f3a4b", "1", "'; drop table users"])
    def test_an_unknown_one_is_404(self, send, refund_id):
        assert send(f"{BASE}/{refund_id}/approve").json["error"]["code"] == "NOT_FOUND"

    def test_a_rehearsal_says_what_would_happen_and_does_nothing(self, client, made, finance, get, engine):
        refund = made(requested_amount_cents=LARGE)
        answer = client.post(f"{BASE}/{refund.id}/approve?dry_run=true", json={"reason": "Checked"}, headers=finance())
        assert (answer.status_code, answer.json["data"]["dry_run"]) == (202, True)
        assert get(f"{BASE}/{refund.id}").json["data"]["approvals"] == []
        with Session(engine) as session:
            assert session.scalar(select(func.count()).select_from(Job)) == 0
            assert session.scalar(select(AuditEntry).where(AuditEntry.action == "refund.approved_first")) is None

    def test_a_decline_is_shown_with_its_reason_and_can_be_retried(self, send, made, get):
        refund = made(requested_amount_cents=99_001)  # the sandbox declines this amount
        answer = send(f"{BASE}/{refund.id}/approve").json["data"]
        assert (answer["status"], answer["refund_processed"], answer["processing"]["state"]) == ("approved", False, "failed")
        assert answer["processing"]["message"]
        assert get(processing_state="failed").json["meta"]["total_items"] == 1
        again = send(f"{BASE}/{refund.id}/retry", {})
        assert again.status_code == 200
        assert again.json["data"]["processing"]["state"] == "failed"
        attempts = get(f"{BASE}/{refund.id}").json["data"]["attempts"]
        assert [attempt["number"] for attempt in attempts] == [1, 2]

    def test_only_a_failed_one_can_be_retried(self, send, made):
        answer = send(f"{BASE}/{made().id}/retry", {})
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "NOT_FAILED")


class TestReject:
    def test_it_answers_as_the_ticket_says(self, send, made):
        refund = made()
        body = {
            "reason": "Evidence shows service was provided",
            "admin_notes": "Customer complaint appears to be retaliation",
            "notify_user": True,
            "offer_alternative": "partial_credit",
        }
        data = send(f"{BASE}/{refund.id}/reject", body).json["data"]
        assert (data["id"], data["status"], data["offer_alternative"]) == (str(refund.id), "rejected", "partial_credit")
        assert data["rejected_at"].endswith("Z")
        assert UUID(data["rejected_by"])

    @pytest.mark.parametrize("body", [{}, {"reason": "no"}, {"reason": "Because", "offer_alternative": "cake"}, [], "reason"])
    def test_it_wants_a_reason(self, send, made, body):
        assert send(f"{BASE}/{made().id}/reject", body).status_code == 422

    def test_a_decided_one_is_a_conflict(self, send, made):
        refund = made(status="rejected")
        assert send(f"{BASE}/{refund.id}/reject").json["error"]["code"] == "NOT_PENDING"

    def test_rehearsed_it_changes_nothing(self, client, made, finance, get):
        refund = made()
        answer = client.post(f"{BASE}/{refund.id}/reject?dry_run=true", json={"reason": "Checked"}, headers=finance())
        assert (answer.status_code, answer.json["data"]["status"]) == (200, "rejected")
        assert get(f"{BASE}/{refund.id}").json["data"]["status"] == "pending"


class TestRefundPayment:
    @pytest.fixture
    def payment_id(self, engine):
        def make(**fields):
            with Session(engine) as session:
                payment = make_payment(session, **fields)
                session.commit()
                return payment.id

        return make

    def test_it_makes_a_request_and_pays_it(self, send, payment_id, get):
        answer = send(f"/api/v1/admin/payments/{payment_id()}/refund", {"amount_cents": 2500, "reason": "Goodwill"})
        assert answer.status_code == 200
        shown = get(f"{BASE}/{answer.json['data']['id']}").json["data"]
        assert (shown["status"], shown["requested_by"], shown["approved_amount_cents"]) == ("processed", "admin", 2500)

    def test_once_per_key(self, send, payment_id, get):
        path = f"/api/v1/admin/payments/{payment_id()}/refund"
        first, second = (send(path, {"amount_cents": 2500, "reason": "Goodwill"}, key="k") for _ in range(2))
        assert first.data == second.data
        assert get().json["meta"]["total_items"] == 1

    def test_above_the_limit_it_waits_for_another_admin(self, send, payment_id, finance):
        answer = send(f"/api/v1/admin/payments/{payment_id(amount_cents=LARGE)}/refund", {"reason": "Goodwill"})
        assert (answer.status_code, answer.json["data"]["approvals"]) == (202, {"required": 2, "received": 1})
        refund_id = answer.json["data"]["id"]
        assert send(f"{BASE}/{refund_id}/approve").json["error"]["code"] == "SAME_APPROVER"
        assert send(f"{BASE}/{refund_id}/approve", by=finance()).status_code == 200

    def test_an_unknown_payment_is_404(self, send):
        assert send(f"/api/v1/admin/payments/{uuid4()}/refund", {"reason": "Goodwill"}).status_code == 404


def test_a_role_change_counts_at_the_next_request(client, bearer, engine):
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session)
        session.commit()
    headers = bearer(admin=admin)
    assert client.get(BASE, headers=headers).status_code == 200
    with Session(engine) as session:
        session.get_one(type(admin), admin.id).role_id = "content_moderator"
        session.commit()
    assert client.get(BASE, headers=headers).status_code == 403
