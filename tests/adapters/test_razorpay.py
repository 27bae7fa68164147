"""Each verdict is reached over real HTTP, with a stand-in that keeps to Razorpay's rules."""

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.gateways import make_gateways
from domain.refunds.gateway import Absent, Pending, Processed, Rejected, RetryLater, Unknown
from tests.adapters.conftest import ENDLESS, deadline_for
from tests.adapters.orders import make_order
from tests.waiting import wait_until

PAYMENT = "pay_29QQoUBi66xm2f"


class TestWhatIsSent:
    def test_a_refund_is_asked_for_as_razorpay_documents_it(self, razorpay, standin):
        order = make_order(razorpay, amount=500100)

        razorpay.create(order)

        [request] = standin.requests()
        assert (request.method, request.path, request.query) == ("POST", f"/v1/payments/{PAYMENT}/refund", {})
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"rzp_test_standin:standin-secret").decode()
        assert request.headers["X-Refund-Idempotency"] == f"rr-{order.refund_id}-a1" == order.key
        assert request.headers["Content-Type"] == "application/json"
        assert request.body == order.body
        assert json.loads(request.body) == {
            "amount": 500100,
            "speed": "normal",
            "receipt": "RF-2026-000042",
            "notes": {"refund_request_id": str(order.refund_id), "attempt": "1", "refund_number": "RF-2026-000042"},
        }

    def test_what_cannot_be_a_payment_of_razorpay_is_never_sent(self, razorpay, standin):
        for payment in ("pi_1", "", "pay_x/../../refunds", "pay_?", "pay_\ud800"):
            order = make_order(razorpay, payment=payment)
            assert razorpay.create(order).code == "invalid_payment_id"
            assert razorpay.find(order) == Absent()
        assert standin.requests() == []


class TestVerdicts:
    def test_processed_comes_with_its_facts_and_the_banks_number(self, razorpay, standin):
        order = make_order(razorpay)
        verdict = razorpay.create(order)
        [refund] = standin.ledger()
        assert isinstance(verdict, Processed)
        assert verdict.facts.gateway_refund_id == refund.id
        assert (verdict.facts.amount_cents, verdict.facts.currency) == (50000, "INR")
        assert verdict.facts.provider_payment_id == PAYMENT
        assert (verdict.facts.refund_id, verdict.facts.attempt) == (order.refund_id, 1)
        assert verdict.facts.reference == f"10{refund.id[5:15]}"

    def test_pending_becomes_processed(self, razorpay, standin):
        standin.fault("pending", seconds=60)
        order = make_order(razorpay)
        verdict = razorpay.create(order)
        assert isinstance(verdict, Pending)
        assert verdict.facts.reference is None
        standin.become(verdict.facts.gateway_refund_id, "done")
        assert isinstance(razorpay.get(verdict.facts.gateway_refund_id, order), Processed)

    def test_pending_becomes_failed(self, razorpay, standin):
        standin.fault("pending_then_failed", seconds=1)
        order = make_order(razorpay)
        made = razorpay.create(order)
        assert isinstance(made, Pending)
        refund_id = made.facts.gateway_refund_id
        failed = wait_until(lambda: isinstance(verdict := razorpay.get(refund_id, order), Rejected) and verdict, "the failure")
        assert (failed.code, failed.facts.gateway_refund_id) == ("failed", refund_id)

    @pytest.mark.parametrize(
        "message",
        [
            "Refund is not supported by the bank because the payment is more than 6 months old",
            "Payment is more than 6 months old, only instant refund is supported",
        ],
    )
    def test_a_decline_keeps_razorpays_words(self, razorpay, standin, message):
        standin.fault("declined", message=message)
        assert razorpay.create(make_order(razorpay)) == Rejected("BAD_REQUEST_ERROR", message)
        assert len(standin.requests()) == 1

    def test_words_nobody_knows_are_a_decline_once_nothing_is_found(self, razorpay, standin):
        standin.fault("declined", message="Your account does not have enough balance.")
        assert razorpay.create(make_order(razorpay)) == Rejected("BAD_REQUEST_ERROR", "Your account does not have enough balance.")
        assert [request.method for request in standin.requests()] == ["POST", "GET"]

    def test_words_nobody_knows_stay_unknown_while_nobody_can_look(self, razorpay, standin):
        standin.fault("declined", "look_up_down", message="Refund failed because another operation is in progress")
        assert isinstance(razorpay.create(make_order(razorpay)), Unknown)

    def test_less_than_one_rupee_is_rejected(self, razorpay, standin):
        verdict = razorpay.create(make_order(razorpay, amount=99))
        assert verdict == Rejected("BAD_REQUEST_ERROR", "The amount must be at least INR 1.00")

    def test_more_than_was_captured_is_rejected(self, razorpay, standin):
        standin.register(PAYMENT, 60000)
        razorpay.create(make_order(razorpay))
        verdict = razorpay.create(make_order(razorpay))
        assert verdict == Rejected("BAD_REQUEST_ERROR", "The refund amount provided is greater than amount captured")

    def test_an_unknown_payment_is_rejected(self, razorpay, standin):
        standin.books.only_registered = True
        assert razorpay.create(make_order(razorpay)) == Rejected("BAD_REQUEST_ERROR", "The id provided does not exist")

    def test_fully_refunded_by_somebody_else_is_rejected(self, razorpay, standin):
        standin.register(PAYMENT, 50000)
        standin.make("razorpay", PAYMENT, 50000)
        verdict = razorpay.create(make_order(razorpay))
        assert verdict == Rejected("BAD_REQUEST_ERROR", "The payment has been fully refunded already")

    def test_fully_refunded_by_this_very_order_is_that_refund(self, razorpay, standin):
        standin.register(PAYMENT, 50000)
        order = make_order(razorpay)
        first = razorpay.create(order)
        standin.fault("key_expired")
        assert razorpay.create(order) == first
        assert len(standin.ledger()) == 1

    def test_the_same_key_again_is_the_same_refund(self, razorpay, standin):
        order = make_order(razorpay)
        assert razorpay.create(order) == razorpay.create(order)
        assert len(standin.ledger()) == 1

    def test_both_conflicts_are_told_apart_by_their_words(self, razorpay, standin):
        standin.fault("conflict_in_progress", "conflict_other_body", "conflict_unknown")
        order = make_order(razorpay)
        waiting, alarm, unknown = (razorpay.create(order) for _ in range(3))
        assert waiting == RetryLater(1, "Razorpay is still at work on this refund")
        assert isinstance(alarm, RetryLater)
        assert alarm.alarm
        assert isinstance(unknown, Unknown)

    def test_another_body_under_the_key_raises_the_alarm(self, razorpay, standin):
        order = make_order(razorpay)
        razorpay.create(order)
        verdict = razorpay.create(replace(order, body=order.body.replace(b"50000", b"60000")))
        assert isinstance(verdict, RetryLater)
        assert verdict.alarm
        assert len(standin.ledger()) == 1

    def test_too_many_waits_as_long_as_razorpay_asks(self, razorpay, standin):
        standin.fault("too_many", seconds=7)
        assert razorpay.create(make_order(razorpay)) == RetryLater(7, "Razorpay asks us to slow down")

    @pytest.mark.parametrize("fault", ["unauthorized", "forbidden"])
    def test_keys_that_are_not_accepted_raise_the_alarm(self, razorpay, standin, fault):
        standin.fault(fault)
        verdict = razorpay.create(make_order(razorpay))
        message = "Razorpay does not accept our key: check RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET"
        assert verdict == RetryLater(60, message, alarm=True)

    def test_wrong_keys_in_other_words_raise_the_alarm_too(self, razorpay, standin):
        standin.fault("declined", message="The api key provided is invalid")
        assert razorpay.create(make_order(razorpay)).alarm

    @pytest.mark.parametrize("setting", ["razorpay_key_id", "razorpay_key_secret"])
    def test_a_key_that_is_not_set_raises_the_alarm(self, settings, standin, setting):
        razorpay = make_gateways(replace(settings, **{setting: None}))["razorpay"]
        message = f"This payment is at Razorpay, and {setting.upper()} is not set"
        assert razorpay.create(make_order(razorpay)) == RetryLater(60, message, alarm=True)

    @pytest.mark.parametrize("fault", ["reset", "hang", "error_before_commit", "sticky_error", "bad_gateway", "redirect"])
    def test_no_certain_answer_is_unknown_and_nothing_is_found(self, razorpay, standin, fault):
        standin.fault(fault, seconds=ENDLESS)
        order = make_order(razorpay)
        assert isinstance(razorpay.create(order, deadline=deadline_for(fault)), Unknown)
        assert razorpay.find(order) == Absent()

    @pytest.mark.parametrize(
        "fault",
        [
            "commit_then_reset",
            "commit_then_hang",
            "error_after_commit",
            "garbage",
            "not_an_object",
            "huge",
            "slow",
            "drip",
            "wrong_amount",
            "wrong_currency",
            "wrong_payment",
            "wrong_mark",
            "unknown_status",
        ],
    )
    def test_no_certain_answer_is_unknown_and_the_refund_is_found(self, razorpay, standin, fault):
        standin.fault(fault, seconds=ENDLESS)
        order = make_order(razorpay)
        began = time.monotonic()
        assert isinstance(razorpay.create(order, deadline=deadline_for(fault)), Unknown)
        assert time.monotonic() - began < ENDLESS / 2
        found = razorpay.find(order)
        assert isinstance(found, Processed)
        assert razorpay.create(order) == found
        assert len(standin.ledger()) == 1

    def test_nobody_listening_is_tried_again(self, razorpay, standin):
        standin.stop()
        order = make_order(razorpay)
        assert razorpay.create(order) == RetryLater(5, "Razorpay could not be reached: there is no connection")
        assert isinstance(razorpay.find(order), Unknown)


class TestFinding:
    def test_every_page_is_read(self, razorpay, standin):
        order = make_order(razorpay)
        made = razorpay.create(order)
        for _ in range(250):
            standin.make("razorpay", PAYMENT, 100)
        assert razorpay.find(order, deadline=60) == made
        look_ups = standin.requests()[1:]
        assert {request.path for request in look_ups} == {f"/v1/payments/{PAYMENT}/refunds"}
        assert [request.query for request in look_ups] == [{"count": "100", "skip": skip} for skip in ("0", "100", "200", "251")]

    def test_all_that_was_made_since_is_listed(self, razorpay, standin):
        made = razorpay.create(make_order(razorpay))
        elsewhere = [standin.make("razorpay", f"pay_{number}", 100).id for number in range(120)]
        standin.make("stripe", "pi_1", 100)
        listed = list(razorpay.made_since(datetime.now(UTC) - timedelta(minutes=1)))
        assert {verdict.facts.gateway_refund_id for verdict in listed} == {made.facts.gateway_refund_id, *elsewhere}
        assert listed[-1] == made
        assert list(razorpay.made_since(datetime.now(UTC) + timedelta(minutes=1))) == []

    def test_refunds_without_our_marks_are_passed_by(self, razorpay, standin):
        standin.make("razorpay", PAYMENT, 50000)
        standin.make("razorpay", PAYMENT, 50000, marks={"refund_request_id": "x"})
        razorpay.create(make_order(razorpay))
        assert razorpay.find(make_order(razorpay)) == Absent()

    def test_one_with_our_marks_and_another_amount_is_never_absent(self, razorpay, standin):
        order = make_order(razorpay)
        standin.make("razorpay", PAYMENT, 40000, marks={"refund_request_id": str(order.refund_id), "attempt": "1"})
        assert isinstance(razorpay.find(order), Unknown)

    @pytest.mark.parametrize("fault", ["look_up_down", "look_up_html", "look_up_reset", "look_up_hang", "look_up_garbage"])
    def test_a_look_up_without_an_answer_is_unknown(self, razorpay, standin, fault):
        order = make_order(razorpay)
        made = razorpay.create(order)
        standin.fault(fault, fault, seconds=ENDLESS)
        assert isinstance(razorpay.find(order, deadline=deadline_for(fault)), Unknown)
        assert isinstance(razorpay.get(made.facts.gateway_refund_id, order, deadline=deadline_for(fault)), Unknown)
        assert razorpay.find(order) == made

    def test_one_that_the_gateway_does_not_know_is_absent(self, razorpay, standin):
        assert razorpay.get("rfnd_gone", make_order(razorpay)) == Absent()
