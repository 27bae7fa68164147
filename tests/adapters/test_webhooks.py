"""What the portal takes from a webhook, and what it refuses: the bytes count, and every secret that is in force."""

import json
import time
from dataclasses import replace

import pytest

from adapters.gateways import make_gateways
from domain.errors import Invalid
from domain.refunds.gateway import BadSignature, Pending, Processed, Rejected
from tests.adapters.orders import make_order
from tests.standins import Webhook
from tests.standins.dialects import DIALECTS, WEBHOOK_SECRETS

PAYMENTS = {"stripe": "pi_3MtwBwLkdIwHu7ix28a3tqPa", "razorpay": "pay_29QQoUBi66xm2f"}


@pytest.fixture(params=["stripe", "razorpay"])
def gateway(request, settings):
    return make_gateways(settings)[request.param]


@pytest.fixture
def order(gateway):
    return make_order(gateway, payment=PAYMENTS[gateway.name])


@pytest.fixture
def made(gateway, order):
    return gateway.create(order)


@pytest.fixture
def webhook(standin, made):
    return standin.webhook(made.facts.gateway_refund_id)


def read(gateway, webhook):
    return gateway.parse_webhook(webhook.body, webhook.headers)


def signed(gateway, body, event_id="evt_1") -> Webhook:
    """Any bytes at all, rightly signed."""
    return Webhook(event_id, body, DIALECTS[gateway.name].sign(body, WEBHOOK_SECRETS[gateway.name], event_id, time.time()))


class TestWhatItSays:
    def test_a_refund_that_is_done(self, gateway, made, order, webhook):
        notice = read(gateway, webhook)
        assert notice.event_id == webhook.event_id
        assert isinstance(notice.verdict, Processed)
        facts = notice.verdict.facts
        assert facts.gateway_refund_id == made.facts.gateway_refund_id
        assert (facts.refund_id, facts.attempt) == (order.refund_id, 1)
        assert (facts.amount_cents, facts.currency) == (50000, "INR")
        assert facts.is_for(order.provider_payment_id)
        assert not facts.is_for("pi_other")

    def test_a_refund_that_is_pending_and_one_that_failed(self, gateway, made, standin):
        standin.become(made.facts.gateway_refund_id, "pending")
        assert isinstance(read(gateway, standin.webhook(made.facts.gateway_refund_id)).verdict, Pending)
        standin.become(made.facts.gateway_refund_id, "failed")
        failed = read(gateway, standin.webhook(made.facts.gateway_refund_id))
        assert failed.type == "refund.failed"
        assert isinstance(failed.verdict, Rejected)
        assert failed.verdict.facts.gateway_refund_id == made.facts.gateway_refund_id

    @pytest.mark.parametrize(
        ("name", "event"),
        [
            ("stripe", "refund.created"),
            ("stripe", "refund.updated"),
            ("stripe", "refund.failed"),
            ("stripe", "charge.refund.updated"),
            ("stripe", "charge.refunded"),
            ("razorpay", "refund.created"),
            ("razorpay", "refund.processed"),
            ("razorpay", "refund.failed"),
            ("razorpay", "refund.speed_changed"),
        ],
    )
    def test_the_refund_counts_rather_than_the_name_of_the_event(self, settings, standin, name, event):
        gateway = make_gateways(settings)[name]
        made = gateway.create(make_order(gateway, payment=PAYMENTS[name]))
        notice = read(gateway, standin.webhook(made.facts.gateway_refund_id, event))
        assert notice.type == event
        assert isinstance(notice.verdict, Processed)

    def test_a_refund_that_somebody_else_made_has_no_mark_of_ours(self, gateway, standin):
        refund = standin.make(gateway.name, PAYMENTS[gateway.name], 700)
        facts = read(gateway, standin.webhook(refund.id)).verdict.facts
        assert (facts.refund_id, facts.attempt, facts.amount_cents) == (None, None, 700)
        assert facts.is_for(PAYMENTS[gateway.name])

    def test_a_charge_without_its_refunds_is_about_something_else(self, stripe):
        event = {"id": "evt_1", "type": "charge.refunded", "data": {"object": {"id": "ch_1", "object": "charge", "amount_refunded": 5}}}
        assert read(stripe, signed(stripe, json.dumps(event).encode())).verdict is None

    def test_other_events_are_taken_and_say_nothing(self, stripe, razorpay):
        paid = {"id": "evt_1", "type": "charge.succeeded", "data": {"object": {"id": "ch_1", "object": "charge"}}}
        notice = read(stripe, signed(stripe, json.dumps(paid).encode()))
        assert (notice.event_id, notice.type, notice.verdict) == ("evt_1", "charge.succeeded", None)
        captured = {"event": "payment.captured", "payload": {"payment": {"entity": {}}}}
        notice = read(razorpay, signed(razorpay, json.dumps(captured).encode(), "evt_2"))
        assert (notice.event_id, notice.type, notice.verdict) == ("evt_2", "payment.captured", None)

    def test_a_status_nobody_knows_yet_says_nothing(self, gateway, made, standin):
        notice = read(gateway, standin.webhook(made.facts.gateway_refund_id, changed={"status": "on_the_way"}))
        assert notice.verdict is None

    def test_nothing_personal_is_kept(self, gateway, made, webhook):
        notice = read(gateway, webhook)
        assert set(notice.payload) == {"id", "type", "refund"}
        assert notice.payload["refund"]["gateway_refund_id"] == made.facts.gateway_refund_id
        assert "anna@example.com" not in json.dumps(notice.payload)

    def test_an_event_of_razorpay_without_an_id_is_known_by_its_bytes(self, razorpay, standin):
        refund = standin.make("razorpay", PAYMENTS["razorpay"], 700)
        webhook = standin.webhook(refund.id)
        del webhook.headers["x-razorpay-event-id"]
        assert read(razorpay, webhook).event_id == read(razorpay, webhook).event_id
        assert len(read(razorpay, webhook).event_id) == 64


class TestSignatures:
    def test_header_names_are_found_in_any_case(self, gateway, webhook):
        assert gateway.parse_webhook(webhook.body, {name.upper(): value for name, value in webhook.headers.items()})

    def test_the_raw_bytes_are_signed(self, gateway, webhook):
        for body in (webhook.body + b" ", webhook.body.replace(b"50000", b"90000"), b""):
            with pytest.raises(BadSignature):
                gateway.parse_webhook(body, webhook.headers)

    def test_another_secret_is_refused(self, gateway, made, standin):
        with pytest.raises(BadSignature):
            read(gateway, standin.webhook(made.facts.gateway_refund_id, secret="whsec_forged"))

    def test_the_old_secret_holds_while_it_is_changed(self, settings, gateway, made, standin):
        changing = replace(settings, stripe_webhook_secrets=("new", "old"), razorpay_webhook_secrets=("new", "old"))
        gateway = make_gateways(changing)[gateway.name]
        for secret in ("new", "old"):
            assert read(gateway, standin.webhook(made.facts.gateway_refund_id, secret=secret)).verdict
        with pytest.raises(BadSignature):
            read(gateway, standin.webhook(made.facts.gateway_refund_id, secret="older"))

    def test_without_a_secret_nothing_is_believed(self, settings, gateway, webhook):
        gateway = make_gateways(replace(settings, stripe_webhook_secrets=(), razorpay_webhook_secrets=()))[gateway.name]
        with pytest.raises(BadSignature, match="WEBHOOK_SECRET"):
            read(gateway, webhook)

    def test_a_missing_or_foreign_header_is_refused(self, gateway, webhook):
        for value in (None, "", "v1=", "t=1", "t=,v1=", "t=99999999999999,v1=00", "\u00ff" * 64, "t=1,v1=\u00ff", "t=1,t=2,v1=0", ","):
            headers = {} if value is None else {"Stripe-Signature": value, "X-Razorpay-Signature": value}
            with pytest.raises(BadSignature):
                gateway.parse_webhook(webhook.body, headers)

    @pytest.mark.parametrize(("age", "taken"), [(0, True), (299, True), (-299, True), (302, False), (-302, False)])
    def test_stripes_signature_lasts_five_minutes(self, settings, standin, stripe, age, taken):
        refund = standin.make("stripe", PAYMENTS["stripe"], 700)
        webhook = standin.webhook(refund.id, at=time.time() - age)
        if taken:
            assert read(stripe, webhook).verdict
        else:
            with pytest.raises(BadSignature):
                read(stripe, webhook)

    def test_one_right_signature_among_several_is_enough(self, stripe, standin):
        webhook = standin.webhook(standin.make("stripe", PAYMENTS["stripe"], 700).id)
        moment, right = webhook.headers["Stripe-Signature"].split(",")
        webhook.headers["Stripe-Signature"] = f"{moment},v0=ignored,v1={'0' * 64},{right}"
        assert read(stripe, webhook).verdict


def hostile_bodies() -> dict[str, bytes]:
    refund = {"id": "re_1", "object": "refund", "amount": 5, "currency": "inr", "payment_intent": "pi_1", "payment_id": "pay_1"}
    refund = {**refund, "metadata": {}, "notes": [], "status": "succeeded"}

    def event(**changed: object) -> bytes:
        about = {**refund, **changed}
        envelope = {"id": "evt_1", "type": "refund.updated", "data": {"object": about}}
        return json.dumps({**envelope, "event": "refund.processed", "payload": {"refund": {"entity": about}}}).encode()

    return {
        "empty": b"",
        "not utf-8": b"\xff\xfe{}",
        "not json": b"<html>",
        "a list": b"[]",
        "a number": b"1" * 5000,
        "nan": b'{"id": NaN}',
        "deep": b'{"id":' * 200_000,
        "deep lists": b"[" * 500_000,
        "deep in a refund": event(metadata="DEEP", notes="DEEP").replace(b'"DEEP"', b"[" * 5000 + b"]" * 5000),
        "an empty object": b"{}",
        "data is a list": b'{"id": "evt_1", "type": "refund.updated", "data": [], "event": "refund.processed", "payload": []}',
        "amount as text": event(amount="5"),
        "amount true": event(amount=True),
        "amount with a point": event(amount=5.0),
        "amount below zero": event(amount=-5),
        "amount zero": event(amount=0),
        "a huge amount": event(amount=2**63),
        "an endless amount": event(amount="HUGE").replace(b'"HUGE"', b"9" * 5000),
        "an infinite amount": event(amount="HUGE").replace(b'"HUGE"', b"1e999"),
        "no amount": event(amount=None),
        "an id that is a list": event(id=["re_1"]),
        "an id with a zero byte": event(id="re_\x00"),
        "half a character": event(id="re_\ud800"),
        "a long id": event(id="re_" + "x" * 10_000),
        "no currency": event(currency=None),
        "a long currency": event(currency="rupees"),
        "a status that is a number": event(status=1),
        "marks that are text": event(metadata="x", notes="x"),
    }


@pytest.mark.parametrize("what", hostile_bodies())
def test_a_body_that_is_signed_and_unreadable_is_invalid(gateway, what):
    with pytest.raises(Invalid):
        read(gateway, signed(gateway, hostile_bodies()[what]))


def test_marks_of_any_kind_are_read_without_harm(gateway, standin):
    for marks in ({"refund_request_id": ["x"], "attempt": {}}, {"refund_request_id": "\x00", "attempt": "9" * 5000}, {"a": "\ud800"}):
        refund = standin.make(gateway.name, PAYMENTS[gateway.name], 700, marks=marks)
        assert read(gateway, standin.webhook(refund.id)).verdict.facts.refund_id is None


def test_an_event_id_that_cannot_be_kept_is_invalid(razorpay, standin):
    refund = standin.make("razorpay", PAYMENTS["razorpay"], 700)
    for event_id in ("x" * 300, "\x00", "\u202e"):
        with pytest.raises(Invalid):
            read(razorpay, standin.webhook(refund.id, event_id=event_id))
