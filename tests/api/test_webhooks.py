"""The webhook endpoints: the signature admits, each event counts once, and nothing else gets in."""

import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.refunds.models import ExternalRefund, GatewayEvent, Refund
from tests.factories import make_payment, make_refund
from tests.standins import GatewayStandIn

PAYMENTS = {"stripe": "pi_3NxHook", "razorpay": "pay_29QQoUBi66xm2f"}


@pytest.fixture
def gateway():
    with GatewayStandIn() as standin:
        yield standin


@pytest.fixture
def settings(settings, gateway):
    return settings | gateway.environment()


@pytest.fixture
def payment(engine):
    def make(provider):
        with Session(engine) as session:
            make_payment(session, provider=provider, provider_payment_id=PAYMENTS[provider], amount_cents=50_000)
            session.commit()

    return make


@pytest.fixture
def deliver(client):
    def to(provider, body, headers):
        return client.post(f"/api/v1/webhooks/{provider}", data=body, headers=headers)

    return to


@pytest.mark.parametrize("provider", PAYMENTS)
def test_a_refund_made_at_the_gateway_is_known_once(deliver, gateway, payment, engine, provider):
    payment(provider)
    made = gateway.make(provider, PAYMENTS[provider], 2000)
    event = gateway.webhook(made.id)
    answers = [deliver(provider, event.body, event.headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json["data"]["taken"] for answer in answers] == [True, False, False]
    with Session(engine) as session:
        assert session.scalars(select(ExternalRefund.amount_cents)).all() == [2000]


@pytest.mark.parametrize("provider", PAYMENTS)
@pytest.mark.parametrize("spoilt", ["secret", "body", "no signature"])
def test_what_is_not_signed_by_us_changes_nothing(deliver, gateway, payment, engine, provider, spoilt):
    payment(provider)
    made = gateway.make(provider, PAYMENTS[provider], 2000)
    event = gateway.webhook(made.id, secret="whsec_of_somebody_else" if spoilt == "secret" else None)
    body = event.body.replace(b"2000", b"9000") if spoilt == "body" else event.body
    headers = {"Content-Type": "application/json"} if spoilt == "no signature" else event.headers
    answer = deliver(provider, body, headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_SIGNATURE")
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(GatewayEvent)) == 0
        assert session.scalar(select(func.count()).select_from(ExternalRefund)) == 0


@pytest.mark.parametrize("provider", PAYMENTS)
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 50_000, json.dumps({"id": 1, "type": []}).encode()])
def test_hostile_bodies_are_refused_in_words(deliver, provider, body):
    answer = deliver(provider, body, {"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json["error"]["message"]


def test_ten_megabytes_are_too_much(deliver):
    assert deliver("stripe", b"x" * 10_000_000, {"Content-Type": "application/json"}).status_code == 413


@pytest.mark.parametrize("provider", PAYMENTS)
def test_an_approved_refund_becomes_final_by_its_webhook(deliver, gateway, payment, bearer, client, engine, session, provider):
    pending = make_payment(session, provider=provider, provider_payment_id=PAYMENTS[provider], amount_cents=50_000)
    refund_id = make_refund(session, pending, requested_amount_cents=2000).id
    session.commit()
    gateway.fault("pending", seconds=3600)
    headers = {**bearer("refunds:approve"), "Idempotency-Key": "k"}
    answer = client.post(f"/api/v1/admin/refunds/{refund_id}/approve", json={"reason": "Nobody came"}, headers=headers).json["data"]
    assert (answer["refund_processed"], answer["processing"]["state"]) == (True, "accepted")
    gateway.become(answer["transaction_id"], "done")
    event = gateway.webhook(answer["transaction_id"])
    assert deliver(provider, event.body, event.headers).status_code == 200
    with Session(engine) as session:
        assert session.get_one(Refund, refund_id).status == "processed"
