"""Each way a gateway can fail, met by the real adapters over HTTP: the refund is paid once and ends with its transaction id."""

import time
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy.orm import sessionmaker

import config
from adapters.gateways import make_gateways
from domain.jobs.outcomes import Again, Done
from domain.refunds import commands, reconcile, settlement
from domain.refunds.models import RefundAttempt
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import settle
from tests.factories import actor_of, make_admin, make_payment, make_refund
from tests.standins.faults import PASSING_CREATE, PASSING_LOOK_UP

PROVIDERS = {"stripe": "pi_3NxFault", "razorpay": "pay_29QQoUBi66xm2f"}
MORE = ["not_an_object", "huge", "redirect", "conflict_unknown", "webhook_first", "wrong_payment", "wrong_mark", "drip"]


@pytest.fixture
def gateways(gateway, tmp_path):
    return make_gateways(
        config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path), "GATEWAY_TIMEOUT_SECONDS": "0.4", **gateway.environment()})
    )


@pytest.fixture
def pay(engine, session, gateways):
    """Approve a refund and settle it as a worker would, in less time than one takes."""
    transactions = sessionmaker(engine, expire_on_commit=False).begin

    def pay_at(provider, seconds=20):
        payment = make_payment(session, provider=provider, provider_payment_id=PROVIDERS[provider], amount_cents=50_000)
        refund = make_refund(session, payment, requested_amount_cents=20_000)
        policy = RefundPolicy({"INR": 8_500_000})
        commands.approve(session, actor_of(make_admin(session)), policy, refund.id, reason="Nobody came")
        session.commit()
        refund_id, deadline = refund.id, time.monotonic() + seconds
        while isinstance(outcome := settle(transactions, gateways, refund_id), Again):
            assert time.monotonic() < deadline, f"not settled: {outcome}"
            time.sleep(min(outcome.after, 0.15))
        session.refresh(refund)
        if refund.processing_state == "accepted":
            for attempt in session.query(RefundAttempt).filter_by(refund_id=refund_id):
                attempt.next_check_at = attempt.created_at
            session.commit()
            time.sleep(0.5)
            reconcile.reconcile(transactions, gateways)
            session.refresh(refund)
        session.commit()
        return refund, outcome

    return pay_at


def paid_once(refund, gateway):
    moved = [entry for entry in gateway.ledger() if entry.moved]
    return [(entry.id, entry.amount) for entry in moved] == [(refund.transaction_id, 20_000)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", [*PASSING_CREATE, *MORE])
def test_a_fault_that_passes_ends_in_one_payment(pay, gateway, provider, fault):
    gateway.fault(fault, seconds=0.5)
    refund, outcome = pay(provider)
    assert isinstance(outcome, Done)
    assert refund.status == "processed"
    assert paid_once(refund, gateway)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", PASSING_LOOK_UP)
def test_a_look_up_that_fails_too_only_takes_longer(pay, gateway, provider, fault):
    gateway.fault("commit_then_reset", fault, fault, seconds=0.5)
    refund, _ = pay(provider)
    assert refund.status == "processed"
    assert paid_once(refund, gateway)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_look_up_that_lags_behind_pays_nothing_twice(pay, gateway, provider):
    gateway.look_up_behind = 1.0
    gateway.fault("commit_then_reset")
    refund, _ = pay(provider)
    assert paid_once(refund, gateway)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_gateway_that_is_down_is_waited_for(pay, gateway, provider):
    gateway.stop()
    port = gateway.port

    def start_again():
        time.sleep(1.5)
        gateway.port = port
        gateway.stopping.clear()
        gateway.start()

    Thread(target=start_again).start()
    refund, _ = pay(provider)
    assert paid_once(refund, gateway)


def test_an_error_the_gateway_keeps_under_the_key_ends_under_the_next_key(pay, gateway, session, monkeypatch):
    monkeypatch.setattr(settlement, "LOOK_UPS_KNOW_AFTER", timedelta(seconds=0.5))
    gateway.fault("sticky_error")
    refund, _ = pay("stripe")
    attempts = session.query(RefundAttempt).order_by(RefundAttempt.number).all()
    assert [(attempt.number, attempt.state, attempt.error_code) for attempt in attempts] == [(1, "failed", "KEY_SPENT"), (2, "done", None)]
    assert paid_once(refund, gateway)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_decline_ends_with_its_reason_and_moves_nothing(pay, gateway, provider):
    gateway.fault("declined")
    refund, outcome = pay(provider)
    assert (refund.status, refund.processing_state) == ("approved", "failed")
    assert "balance" in refund.processing_message
    assert gateway.ledger() == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_that_fails_after_it_was_accepted_comes_back(pay, gateway, provider):
    gateway.fault("pending_then_failed", seconds=0.1)
    refund, _ = pay(provider)
    assert (refund.status, refund.processing_state, refund.transaction_id) == ("approved", "failed", None)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_refused_credentials_hold_the_refund_and_do_not_fail_it(pay, gateway, provider):
    gateway.fault("unauthorized")
    with pytest.raises(AssertionError, match="not settled"):
        pay(provider, seconds=0.0)
    gateway.no_faults()
