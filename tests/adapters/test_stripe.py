"""Each verdict is reached over real HTTP, with a stand-in that keeps to Stripe's rules."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from adapters.gateways import make_gateways
from domain.refunds.gateway import Absent, Pending, Processed, Rejected, RetryLater, Unknown
from tests.adapters.conftest import ENDLESS, deadline_for
from tests.adapters.orders import make_order
from tests.standins import GatewayStandIn
from tests.waiting import wait_until

INTENT = "pi_3MtwBwLkdIwHu7ix28a3tqPa"
CHARGE = "ch_3MtwBwLkdIwHu7ix0Sba1Cgm"


def an_order(stripe, **options):
    return make_order(stripe, **{"payment": INTENT, **options})


class TestWhatIsSent:
    def test_a_refund_is_asked_for_as_stripe_documents_it(self, stripe, standin):
        order = an_order(stripe, amount=50000)

        stripe.create(order)

        [request] = standin.requests()
        assert (request.method, request.path, request.query) == ("POST", "/v1/refunds", {})
        assert request.headers["Authorization"] == "Bearer sk_test_standin"
        assert request.headers["Stripe-Version"] == "2026-10-28.endive"
        assert request.headers["Idempotency-Key"] == f"rr-{order.refund_id}-a1" == order.key
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.body == order.body
        assert dict(parse_qsl(request.body.decode(), strict_parsing=True)) == {
            "payment_intent": INTENT,
            "amount": "50000",
            "metadata[refund_request_id]": str(order.refund_id),
            "metadata[attempt]": "1",
            "metadata[refund_number]": "RF-2026-000042",
        }

    def test_a_charge_is_named_as_a_charge(self, stripe, standin):
        order = an_order(stripe, payment=CHARGE)
        verdict = stripe.create(order)
        assert b"charge=ch_" in order.body
        assert verdict.facts.provider_payment_id == CHARGE
        assert stripe.find(order) == verdict

    def test_the_bytes_are_those_that_were_committed(self, stripe, standin):
        order = replace(an_order(stripe), body=b"payment_intent=pi_x&amount=50000&metadata%5Battempt%5D=1")
        stripe.create(order)
        assert standin.requests()[0].body == order.body

    def test_what_cannot_be_a_payment_of_stripe_is_never_sent(self, stripe, standin):
        for payment in ("pay_29QQoUBi66xm2f", "", "pi_../../v1/charges", "pi_\x00", "pi_" + "x" * 300):
            order = an_order(stripe, payment=payment)
            assert stripe.create(order).code == "invalid_payment_id"
            assert stripe.find(order) == Absent()
        assert standin.requests() == []

    def test_one_connection_serves_many_calls(self, stripe, standin):
        for _ in range(5):
            stripe.create(an_order(stripe))
        assert len({request.connection for request in standin.requests()}) == 1

    def test_many_threads_may_call_at_once(self, stripe, standin):
        orders = [an_order(stripe, amount=1000 + n) for n in range(30)]
        with ThreadPoolExecutor(10) as pool:
            verdicts = list(pool.map(lambda order: stripe.create(order, deadline=60), orders))
        assert [verdict.facts.amount_cents for verdict in verdicts] == [order.amount_cents for order in orders]


class TestVerdicts:
    def test_succeeded_is_processed_with_its_facts(self, stripe, standin):
        order = an_order(stripe)
        verdict = stripe.create(order)
        [refund] = standin.ledger()
        assert isinstance(verdict, Processed)
        assert verdict.facts.gateway_refund_id == refund.id
        assert verdict.facts.amount_cents == 50000
        assert verdict.facts.currency == "INR"
        assert verdict.facts.provider_payment_id == INTENT
        assert (verdict.facts.refund_id, verdict.facts.attempt) == (order.refund_id, 1)
        assert verdict.facts.reference == f"7{refund.id[3:13]}"

    @pytest.mark.parametrize("status", ["pending", "requires_action"])
    def test_what_is_not_final_is_pending(self, stripe, standin, status):
        standin.fault("pending", seconds=60)
        order = an_order(stripe)
        verdict = stripe.create(order)
        assert isinstance(verdict, Pending)
        standin.become(verdict.facts.gateway_refund_id, status)
        assert isinstance(stripe.get(verdict.facts.gateway_refund_id, order), Pending)

    def test_a_refund_that_failed_at_once_is_rejected_with_its_facts(self, stripe, standin):
        standin.fault("failed")
        verdict = stripe.create(an_order(stripe))
        assert isinstance(verdict, Rejected)
        assert (verdict.code, verdict.message) == (
            "expired_or_canceled_card",
            "Stripe failed the refund: expired or canceled card",
        )
        assert verdict.facts.gateway_refund_id == standin.ledger()[0].id

    def test_canceled_is_rejected(self, stripe, standin):
        order = an_order(stripe)
        made = stripe.create(order)
        standin.become(made.facts.gateway_refund_id, "canceled")
        assert stripe.get(made.facts.gateway_refund_id, order).code == "canceled"

    def test_a_decline_keeps_stripes_code_and_its_words_made_clean(self, stripe, standin):
        standin.fault("declined", code="charge_disputed", message="Charge\x00 has\u202e been\ud800 disputed.\n" + "x" * 2000)
        verdict = stripe.create(an_order(stripe))
        assert isinstance(verdict, Rejected)
        assert verdict.code == "charge_disputed"
        assert verdict.message.startswith("Charge has been disputed. xxx")
        assert len(verdict.message) == 500
        assert verdict.facts is None
        assert standin.ledger() == []

    def test_an_unknown_payment_is_rejected(self, stripe, standin):
        standin.books.only_registered = True
        order = an_order(stripe)
        assert stripe.create(order) == Rejected("resource_missing", f"No such payment_intent: '{INTENT}'")

    def test_more_than_what_is_left_is_rejected(self, stripe, standin):
        standin.register(INTENT, 60000)
        stripe.create(an_order(stripe, amount=50000))
        verdict = stripe.create(an_order(stripe, amount=50000))
        assert verdict == Rejected("invalid_request_error", "Refund amount (50000) is greater than unrefunded amount on charge (10000)")

    def test_already_refunded_by_somebody_else_is_rejected(self, stripe, standin):
        standin.register(INTENT, 50000)
        standin.make("stripe", INTENT, 50000)
        verdict = stripe.create(an_order(stripe))
        assert verdict == Rejected("charge_already_refunded", f"Charge {INTENT} has already been refunded.")

    def test_already_refunded_by_this_very_order_is_that_refund(self, stripe, standin):
        standin.register(INTENT, 50000)
        order = an_order(stripe)
        first = stripe.create(order)
        standin.fault("key_expired")
        assert stripe.create(order) == first
        assert len(standin.ledger()) == 1

    def test_already_refunded_stays_unknown_while_nobody_can_look(self, stripe, standin):
        standin.register(INTENT, 50000)
        standin.make("stripe", INTENT, 50000)
        for fault in ("look_up_down", "look_up_too_many"):
            standin.fault(fault)
            assert isinstance(stripe.create(an_order(stripe)), Unknown)

    def test_the_same_key_again_is_the_same_refund(self, stripe, standin):
        order = an_order(stripe)
        assert stripe.create(order) == stripe.create(order)
        assert len(standin.ledger()) == 1

    def test_another_body_under_the_key_raises_the_alarm(self, stripe, standin):
        order = an_order(stripe)
        stripe.create(order)
        verdict = stripe.create(replace(order, body=order.body.replace(b"50000", b"60000")))
        assert isinstance(verdict, RetryLater)
        assert verdict.alarm
        assert len(standin.ledger()) == 1

    def test_a_key_in_use_waits_a_second(self, stripe, standin):
        standin.fault("conflict_in_progress")
        assert stripe.create(an_order(stripe)) == RetryLater(1, "Stripe is still at work on this refund")

    def test_a_conflict_nobody_knows_is_unknown(self, stripe, standin):
        standin.fault("conflict_unknown")
        assert isinstance(stripe.create(an_order(stripe)), Unknown)

    @pytest.mark.parametrize(("asked", "waited"), [(7, 7), (0, 1), (90000, 300)])
    def test_too_many_waits_as_long_as_stripe_asks_within_bounds(self, stripe, standin, asked, waited):
        standin.fault("too_many", seconds=asked)
        assert stripe.create(an_order(stripe)) == RetryLater(waited, "Stripe asks us to slow down")

    @pytest.mark.parametrize("fault", ["unauthorized", "forbidden"])
    def test_a_key_that_is_not_accepted_raises_the_alarm(self, stripe, standin, fault):
        standin.fault(fault)
        verdict = stripe.create(an_order(stripe))
        assert verdict == RetryLater(60, "Stripe does not accept our key: check STRIPE_API_KEY", alarm=True)

    def test_a_key_that_is_not_set_raises_the_alarm(self, settings, standin):
        stripe = make_gateways(replace(settings, stripe_api_key=None))["stripe"]
        order = an_order(stripe)
        missing = RetryLater(60, "This payment is at Stripe, and STRIPE_API_KEY is not set", alarm=True)
        assert order.body
        assert (stripe.create(order), stripe.find(order), stripe.get("re_1", order)) == (missing, missing, missing)

    @pytest.mark.parametrize(
        "fault",
        [
            "reset",
            "hang",
            "error_before_commit",
            "sticky_error",
            "bad_gateway",
            "redirect",
        ],
    )
    def test_no_certain_answer_is_unknown_and_nothing_is_found(self, stripe, standin, fault):
        standin.fault(fault, seconds=ENDLESS)
        order = an_order(stripe)
        assert isinstance(stripe.create(order, deadline=deadline_for(fault)), Unknown)
        assert stripe.find(order) == Absent()
        assert [request.path for request in standin.requests()] == ["/v1/refunds"] * 2

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
    def test_no_certain_answer_is_unknown_and_the_refund_is_found(self, stripe, standin, fault):
        standin.fault(fault, seconds=ENDLESS)
        order = an_order(stripe)
        began = time.monotonic()
        assert isinstance(stripe.create(order, deadline=deadline_for(fault)), Unknown)
        assert time.monotonic() - began < ENDLESS / 2
        found = stripe.find(order)
        assert isinstance(found, Processed)
        assert stripe.create(order) == found
        assert len(standin.ledger()) == 1

    def test_a_refund_made_after_the_gateway_gave_up_is_found_later(self, stripe, standin):
        standin.fault("late", seconds=3)
        order = an_order(stripe)
        assert isinstance(stripe.create(order), Unknown)
        assert stripe.find(order) == Absent()
        assert stripe.create(order) == RetryLater(1, "Stripe is still at work on this refund")
        found = wait_until(lambda: isinstance(verdict := stripe.find(order), Processed) and verdict, "the late refund")
        assert stripe.create(order) == found

    def test_the_deadline_of_a_call_is_kept(self, stripe, standin):
        standin.fault("commit_then_hang", seconds=ENDLESS)
        began = time.monotonic()
        assert isinstance(stripe.create(an_order(stripe), deadline=1), Unknown)
        assert 1 <= time.monotonic() - began < 10


class TestNothingSent:
    def test_nobody_listening(self, stripe, standin):
        standin.stop()
        order = an_order(stripe)
        assert stripe.create(order) == RetryLater(5, "Stripe could not be reached: there is no connection")
        assert isinstance(stripe.find(order), Unknown)
        assert isinstance(stripe.get("re_1", order), Unknown)

    @pytest.mark.parametrize("base", ["https://gateway.invalid", "http://[", "http://", "https://127.0.0.1:{port}"])
    def test_no_such_host_no_url_no_tls(self, settings, standin, base):
        stripe = make_gateways(replace(settings, stripe_api_base=base.format(port=standin.port)))["stripe"]
        verdict = stripe.create(an_order(stripe), deadline=5)
        assert isinstance(verdict, RetryLater)
        assert not verdict.alarm
        assert standin.requests() == []

    def test_no_time_left(self, stripe, standin):
        assert isinstance(stripe.create(an_order(stripe), deadline=-1), RetryLater)
        assert standin.requests() == []


class TestFinding:
    def test_every_page_is_read(self, stripe, standin):
        standin.register(INTENT, 10_000_000)
        order = an_order(stripe)
        made = stripe.create(order)
        for _ in range(250):
            standin.make("stripe", INTENT, 100)
        assert stripe.find(order, deadline=60) == made
        queries = [request.query for request in standin.requests()[1:]]
        assert [query["limit"] for query in queries] == ["100", "100", "100"]
        assert [query["payment_intent"] for query in queries] == [INTENT] * 3
        assert [query.get("starting_after", "first") for query in queries] == [
            "first",
            standin.ledger()[151].id,
            standin.ledger()[51].id,
        ]

    def test_all_that_was_made_since_is_listed(self, stripe, standin):
        made = stripe.create(an_order(stripe))
        elsewhere = [standin.make("stripe", f"pi_{number}", 100).id for number in range(120)]
        standin.make("razorpay", "pay_1", 100)
        listed = list(stripe.made_since(datetime.now(UTC) - timedelta(minutes=1)))
        assert {verdict.facts.gateway_refund_id for verdict in listed} == {made.facts.gateway_refund_id, *elsewhere}
        assert listed[-1].facts.refund_id == made.facts.refund_id
        assert list(stripe.made_since(datetime.now(UTC) + timedelta(minutes=1))) == []

    @pytest.mark.parametrize("fault", ["look_up_down", "look_up_reset", "look_up_garbage", "look_up_too_many", "look_up_unauthorized"])
    def test_a_list_that_breaks_off_says_so_at_its_end(self, stripe, standin, fault):
        for number in range(120):
            standin.make("stripe", f"pi_{number}", 100)
        listed = stripe.made_since(datetime.now(UTC) - timedelta(minutes=1))
        assert isinstance(next(listed), Processed)
        standin.fault(fault)
        *read, last = listed
        assert len(read) == 99
        assert isinstance(last, Unknown | RetryLater)

    def test_another_refund_or_attempt_is_not_ours(self, stripe, standin):
        stripe.create(an_order(stripe))
        order = an_order(stripe)
        stripe.create(order)
        assert stripe.find(an_order(stripe)) == Absent()
        assert stripe.find(an_order(stripe, refund_id=order.refund_id, attempt=2)) == Absent()

    def test_for_a_lost_order_any_attempt_and_amount_is_ours(self, stripe, standin):
        made = stripe.create(an_order(stripe, attempt=2))
        stripe.create(an_order(stripe))
        lost = replace(an_order(stripe, refund_id=made.facts.refund_id), amount_cents=60000, lost=True)
        assert stripe.find(lost) == made
        assert isinstance(stripe.find(replace(lost, currency="USD")), Unknown)

    def test_refunds_without_our_marks_are_passed_by(self, stripe, standin):
        for marks in ({}, {"refund_request_id": "x"}, {"refund_request_id": "", "attempt": "one"}):
            standin.make("stripe", INTENT, 50000, marks=marks)
        assert stripe.find(an_order(stripe)) == Absent()

    def test_one_with_our_marks_and_another_amount_is_never_absent(self, stripe, standin):
        order = an_order(stripe)
        standin.make("stripe", INTENT, 40000, marks={"refund_request_id": str(order.refund_id), "attempt": "1"})
        verdict = stripe.find(order)
        assert isinstance(verdict, Unknown)
        assert "another amount" in verdict.message

    def test_one_that_moved_money_says_more_than_one_that_did_not(self, stripe, standin):
        order = an_order(stripe)
        marks = {"refund_request_id": str(order.refund_id), "attempt": "1"}
        standin.make("stripe", INTENT, 50000, marks=marks, status="failed")
        assert isinstance(stripe.find(order), Rejected)
        moved = standin.make("stripe", INTENT, 50000, marks=marks)
        standin.make("stripe", INTENT, 50000, marks=marks, status="failed")
        assert stripe.find(order).facts.gateway_refund_id == moved.id

    @pytest.mark.parametrize("fault", ["look_up_down", "look_up_html", "look_up_reset", "look_up_hang", "look_up_garbage"])
    def test_a_look_up_without_an_answer_is_unknown(self, stripe, standin, fault):
        order = an_order(stripe)
        made = stripe.create(order)
        standin.fault(fault, fault, seconds=ENDLESS)
        assert isinstance(stripe.find(order, deadline=deadline_for(fault)), Unknown)
        assert isinstance(stripe.get(made.facts.gateway_refund_id, order, deadline=deadline_for(fault)), Unknown)
        assert stripe.find(order) == made

    def test_a_look_up_may_have_to_wait(self, stripe, standin):
        standin.fault("look_up_too_many", "look_up_unauthorized", seconds=2)
        order = an_order(stripe)
        assert stripe.find(order) == RetryLater(2, "Stripe asks us to slow down")
        assert stripe.find(order).alarm

    def test_a_look_up_that_is_behind_does_not_see_it_yet(self, stripe, standin):
        standin.look_up_behind = 2
        order = an_order(stripe)
        made = stripe.create(order)
        assert stripe.find(order) == Absent()
        assert wait_until(lambda: isinstance(verdict := stripe.find(order), Processed) and verdict, "the refund") == made


class TestGetting:
    def test_what_became_of_it(self, stripe, standin):
        standin.fault("failed_later", seconds=1)
        order = an_order(stripe)
        made = stripe.create(order)
        assert isinstance(made, Processed)
        refund_id = made.facts.gateway_refund_id
        failed = wait_until(lambda: isinstance(verdict := stripe.get(refund_id, order), Rejected) and verdict, "the failure")
        assert failed.facts.gateway_refund_id == refund_id
        assert standin.requests()[-1].path == f"/v1/refunds/{refund_id}"

    def test_one_that_the_gateway_does_not_know_is_absent(self, stripe, standin):
        assert stripe.get("re_gone", an_order(stripe)) == Absent()

    def test_one_that_is_not_this_order_is_not_believed(self, stripe, standin):
        made = stripe.create(an_order(stripe))
        assert isinstance(stripe.get(made.facts.gateway_refund_id, an_order(stripe)), Unknown)

    def test_an_id_cannot_lead_elsewhere(self, stripe, standin):
        stripe.get("../charges?x=", an_order(stripe))
        assert standin.requests()[0].path == "/v1/refunds/..%2Fcharges%3Fx%3D"


def test_a_gateway_that_was_restarted_is_reached_at_once(settings, standin, tmp_path):
    stripe = make_gateways(settings)["stripe"]
    order = an_order(stripe)
    made = stripe.create(order)
    standin.stop()
    with GatewayStandIn(standin.port, standin.ledger_file):
        assert stripe.create(order) == made
