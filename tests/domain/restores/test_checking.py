"""After a restore the gateways are asked, and what they paid is never paid again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import sessionmaker

from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import Invalid
from domain.jobs.models import Job
from domain.jobs.outcomes import Again
from domain.refunds import commands
from domain.refunds.commands.decision import NotPending
from domain.refunds.commands.retry import retry
from domain.refunds.gateway import GatewayNotice, Processed
from domain.refunds.models import ExternalRefund, ProcessingState, Refund, RefundApproval, RefundAttempt
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import money_box
from domain.refunds.settlement import settle
from domain.refunds.webhooks import receive
from domain.restores.checking import compare
from domain.restores.commands import acknowledge
from domain.restores.errors import ApprovalsFrozen
from domain.restores.models import Restore
from tests.domain.gateways import ScriptedGateway
from tests.factories import actor_of, make_admin, make_payment, make_refund, make_restore

POLICY = RefundPolicy(dual_limits={"INR": 8_500_000, "USD": 100_000})


@pytest.fixture
def transactions(engine):
    return sessionmaker(engine, expire_on_commit=False).begin


@pytest.fixture
def pay(session, transactions):
    def by(gateway, refund, admin):
        commands.approve(session, actor_of(admin), POLICY, refund.id, reason="Nobody came")
        session.commit()
        return settle(transactions, {"sandbox": gateway}, refund.id)

    return by


@pytest.fixture
def check(session, transactions):
    """Compares as after a restore of an hour ago; answers the report."""

    def with_(gateway, **fields):
        restore = make_restore(session, **{"report": None, "checked_at": None, "acknowledged_at": None, "acknowledged_by": None, **fields})
        session.commit()
        compare(transactions, {"sandbox": gateway}, restore.id, lambda done, total: None)
        session.expire_all()
        report = session.get_one(Restore, restore.id).report
        session.commit()
        return report

    return with_


def forget(session, refund, status="pending"):
    """As a backup has it that was made before, where the live data are lost."""
    session.execute(delete(RefundAttempt).where(RefundAttempt.refund_id == refund.id))
    session.execute(delete(Job))
    values = {"status": status, "processing_state": None, "transaction_id": None, "processed_at": None}
    if status == "pending":
        session.execute(delete(RefundApproval))
        values |= {"approved_amount_cents": None, "approved_at": None, "approved_by": None}
    else:
        values |= {"processing_state": ProcessingState.QUEUED}
    session.execute(update(Refund).where(Refund.id == refund.id).values(**values))
    session.commit()


@pytest.mark.parametrize("known_as", ["pending", "approved"])
@pytest.mark.parametrize("answer", ["ok", "pending"])
def test_money_that_the_restored_data_do_not_know_of_is_shown_as_paid(session, transactions, pay, check, known_as, answer):
    refund, admin, gateway = make_refund(session), make_admin(session), ScriptedGateway(answer)
    pay(gateway, refund, admin)
    forget(session, refund, known_as)

    report = check(gateway)

    assert (report["taken_over"], report["looked_at"]) == (1, 1)
    assert report["refunds"][0]["transaction_id"] == gateway.ledger[f"rr-{refund.id}-a1"].gateway_refund_id
    session.refresh(refund)
    assert refund.status == ("processed" if answer == "ok" else "approved")
    assert refund.transaction_id == report["refunds"][0]["transaction_id"]
    with pytest.raises((NotPending, ApprovalsFrozen)):
        commands.approve(session, actor_of(admin), POLICY, refund.id, reason="Once more")
    session.rollback()
    assert "refund.found_paid" in session.scalars(select(AuditEntry.action)).all()
    restore = session.scalars(select(Restore)).one()
    acknowledge(session, actor_of(make_admin(session, "system:restore")), restore.id)
    refund_id = refund.id
    session.commit()
    settle(transactions, {"sandbox": gateway}, refund_id)
    assert gateway.calls.count("create") == 1


def test_while_the_report_is_unread_nothing_is_approved_tried_again_or_sent(session, transactions, pay):
    admin, gateway = make_admin(session), ScriptedGateway("busy", "declined")
    queued, declined, waiting = make_refund(session), make_refund(session), make_refund(session)
    pay(gateway, queued, admin)
    pay(gateway, declined, admin)
    make_restore(session, acknowledged_at=None)
    session.commit()
    sent, queued_id = list(gateway.calls), queued.id

    for act in (
        lambda: commands.approve(session, actor_of(admin), POLICY, waiting.id, reason="Nobody came"),
        lambda: retry(session, actor_of(admin), POLICY, declined.id),
    ):
        with pytest.raises(ApprovalsFrozen):
            act()
        session.rollback()
    assert isinstance(settle(transactions, {"sandbox": gateway}, queued_id), Again)
    assert gateway.calls == sent


def test_what_the_gateway_says_otherwise_or_cannot_say_is_named(session, pay, check):
    admin, gateway = make_admin(session), ScriptedGateway()
    agreed, failed = make_refund(session), make_refund(session)
    waiting = make_refund(session)
    for refund in (agreed, failed):
        pay(gateway, refund, admin)
    gateway.status[gateway.ledger[f"rr-{failed.id}-a1"].gateway_refund_id] = "failed"

    report = check(gateway)
    assert {line["refund_id"]: line["ruling"] for line in report["refunds"]} == {str(agreed.id): "agrees", str(failed.id): "differs"}
    assert (report["nothing_found"], report["looked_at"]) == (1, 3)

    gateway.lookups_fail = True
    report = check(gateway)
    (line,) = [line for line in report["refunds"] if line["refund_id"] == str(waiting.id)]
    assert (line["ruling"], line["message"]) == ("uncertain", "The look-up failed")


@pytest.mark.parametrize("kept", ["nothing", "declined", "asking"])
def test_money_that_only_a_later_attempt_moved_is_found(session, transactions, pay, check, kept):
    """The gateway declined the first order, so it has nothing of that; the backup is older than the second, or than both."""
    refund, admin, gateway = make_refund(session), make_admin(session), ScriptedGateway("declined")
    gateways = {"sandbox": gateway}
    pay(gateway, refund, admin)
    session.expire_all()
    retry(session, actor_of(admin), POLICY, refund.id)
    session.commit()
    settle(transactions, gateways, refund.id)
    (made,) = gateway.ledger.values()
    session.execute(delete(RefundAttempt).where(RefundAttempt.number >= (1 if kept == "nothing" else 2)))
    states = {"processing_state": ProcessingState.FAILED, "transaction_id": None, "processed_at": None, "status": "approved"}
    if kept == "asking":
        session.execute(update(RefundAttempt).values(state="asking", finished_at=None, error_code=None))
        states["processing_state"] = ProcessingState.ASKING
    session.execute(update(Refund).where(Refund.id == refund.id).values(**states))

    report = check(gateway)

    assert (report["taken_over"], report["looked_at"]) == (1, 1)
    session.refresh(refund)
    assert (refund.status, refund.transaction_id) == ("processed", made.gateway_refund_id)
    attempts = session.scalars(select(RefundAttempt).order_by(RefundAttempt.number)).all()
    assert [(attempt.number, attempt.state) for attempt in attempts][-1] == (2, "done")
    assert all(attempt.state == "failed" for attempt in attempts[:-1])

    gateway.status[made.gateway_refund_id] = "failed"  # later, by the bank
    session.execute(update(RefundAttempt).where(RefundAttempt.number == 2).values(state="failed", call_id=None))
    session.execute(update(Refund).values(status="approved", processing_state="failed"))
    session.execute(update(Restore).values(acknowledged_at=now()))
    session.commit()
    session.expire_all()
    retry(session, actor_of(admin), POLICY, refund.id)
    session.commit()
    settle(transactions, gateways, refund.id)
    assert f"rr-{refund.id}-a3" in gateway.ledger


def test_money_of_a_part_that_was_approved_is_found(session, pay, check, transactions):
    refund, admin, gateway = make_refund(session, requested_amount_cents=10_000), make_admin(session), ScriptedGateway()
    commands.approve(session, actor_of(admin), POLICY, refund.id, reason="Came late", amount_cents=6_000)
    session.commit()
    settle(transactions, {"sandbox": gateway}, refund.id)
    forget(session, refund)
    report = check(gateway)
    assert report["taken_over"] == 1
    session.refresh(refund)
    assert (refund.status, refund.approved_amount_cents) == ("processed", 6_000)


def test_money_is_found_of_what_was_rejected_before_the_gateway_was_asked(session, pay, check):
    refund, admin, gateway = make_refund(session), make_admin(session), ScriptedGateway()
    pay(gateway, refund, admin)
    forget(session, refund)
    session.expire_all()
    commands.reject(session, actor_of(admin), refund.id, reason="Too late")
    session.commit()
    assert check(gateway)["taken_over"] == 1
    session.refresh(refund)
    assert refund.status == "processed"


@pytest.mark.parametrize("amount", [6_000, 10_001])
def test_money_that_does_not_fit_what_is_known_is_named_and_not_taken_over(session, pay, check, amount):
    refund, admin, gateway = make_refund(session, requested_amount_cents=10_000), make_admin(session), ScriptedGateway("lost")
    pay(gateway, refund, admin)
    (key,) = gateway.ledger
    gateway.ledger[key] = replace(gateway.ledger[key], amount_cents=amount)
    if amount > refund.requested_amount_cents:
        forget(session, refund)
    report = check(gateway)
    assert (report["uncertain"], report["looked_at"]) == (1, 1)
    session.refresh(refund)
    assert refund.status != "processed"


def test_a_refund_that_failed_by_our_books_and_not_by_the_gateways_is_named(session, pay, check):
    refund, admin, gateway = make_refund(session), make_admin(session), ScriptedGateway()
    pay(gateway, refund, admin)
    session.execute(update(RefundAttempt).values(state="failed"))
    session.execute(update(Refund).values(status="approved", processing_state="failed", transaction_id=None))
    report = check(gateway)
    assert (report["differs"], report["looked_at"]) == (1, 1)
    session.refresh(refund)
    assert (refund.status, refund.processing_state) == ("approved", "failed")


@pytest.mark.parametrize("queued", [False, True])
def test_what_a_restore_made_us_forget_is_looked_up_before_it_is_sent(session, transactions, pay, queued):
    """Somebody has acknowledged that the gateway could not tell; a day later the gateway has forgotten its key, too."""
    refund, admin, gateway = make_refund(session, requested_at=now() - timedelta(hours=2)), make_admin(session), ScriptedGateway()
    pay(gateway, refund, admin)
    (made,) = gateway.ledger.values()
    if queued:
        values = {"status": "approved", "processing_state": "queued", "transaction_id": None, "processed_at": None}
        session.execute(update(Refund).values(**values))
        session.execute(update(RefundAttempt).values(state="queued", last_sent_at=None, gateway_refund_id=None, finished_at=None))
    else:
        forget(session, refund)
    make_restore(session)
    session.commit()
    session.expire_all()
    refund_id, gateways = refund.id, {"sandbox": gateway}
    session.commit()

    gateway.lookups_fail = True
    if queued:
        settle(transactions, gateways, refund_id)
    else:
        pay(gateway, refund, admin)
    assert gateway.calls.count("create") == 1
    gateway.lookups_fail = False
    settle(transactions, gateways, refund_id)
    assert gateway.calls.count("create") == 1
    session.expire_all()
    assert (refund.status, refund.transaction_id) == ("processed", made.gateway_refund_id)


def test_what_the_gateway_does_not_know_after_a_restore_is_sent(session, transactions, pay):
    refund, admin, gateway = make_refund(session, requested_at=now() - timedelta(hours=2)), make_admin(session), ScriptedGateway("busy")
    make_restore(session)
    pay(gateway, refund, admin)
    assert gateway.calls == ["find", "create"]
    refund_id = refund.id
    session.commit()
    settle(transactions, {"sandbox": gateway}, refund_id)
    assert gateway.calls == ["find", "create", "find", "create"]
    session.expire_all()
    assert refund.status == "processed"
    young = make_refund(session)
    pay(gateway, young, admin)
    assert gateway.calls[4:] == ["create"]


def test_money_that_was_told_of_before_it_was_found_is_counted_once(session, pay, check):
    """A webhook comes before the comparison has found that the refund was ours."""
    payment = make_payment(session, amount_cents=10_000)
    refund, admin, gateway = make_refund(session, payment, requested_amount_cents=4_000), make_admin(session), ScriptedGateway()
    pay(gateway, refund, admin)
    (made,) = gateway.ledger.values()
    forget(session, refund)
    told = GatewayNotice("evt_1", "refund.updated", Processed(replace(made, currency="INR")), {})
    receive(session, "sandbox", told)
    session.commit()
    assert money_box(session, payment, POLICY).refundable_cents == 6_000
    session.commit()
    check(gateway)
    assert money_box(session, payment, POLICY).refundable_cents == 6_000


def test_a_gateway_that_never_answers_does_not_hold_up_the_report(session, check):
    refunds = [make_refund(session) for _ in range(40)]
    gateway = ScriptedGateway()
    gateway.lookups_fail = True
    report = check(gateway)
    assert report["uncertain"] == len(refunds)
    assert len(gateway.calls) < 30


def test_what_was_paid_and_is_not_there_any_more_lowers_what_is_left(session, check, pay, transactions):
    """On a new machine: the refund was asked for, approved and paid after the backup."""
    admin, gateway = make_admin(session), ScriptedGateway()
    payment = make_payment(session, amount_cents=10_000)
    lost = make_refund(session, payment=payment, requested_amount_cents=4_000)
    pay(gateway, lost, admin)
    kept = make_refund(session, requested_amount_cents=2_000)
    pay(gateway, kept, admin)
    for table, key in ((RefundAttempt, RefundAttempt.refund_id), (RefundApproval, RefundApproval.refund_id), (Refund, Refund.id)):
        session.execute(delete(table).where(key == lost.id))
    [paid] = [facts for facts in gateway.ledger.values() if facts.refund_id == lost.id]
    report = check(gateway)
    named = {"gateway": "sandbox", "payment_id": payment.provider_payment_id, "amount_cents": 4_000, "currency": payment.currency}
    assert (report["noted"], report["noted_refunds"]) == (1, [{**named, "transaction_id": paid.gateway_refund_id}])
    assert money_box(session, payment, POLICY).refundable_cents == 6_000
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "refund.made_elsewhere")).one()
    assert entry.object_id == str(payment.id)
    restore_id = session.scalars(select(Restore.id)).one()
    session.commit()
    again = compare(transactions, {"sandbox": gateway}, restore_id, lambda done, total: None)
    assert again["noted_refunds"] == report["noted_refunds"]
    assert money_box(session, payment, POLICY).refundable_cents == 6_000


def test_what_was_noted_before_or_is_of_nobodys_payment_or_failed_is_not_noted(session, check, pay):
    admin, gateway = make_admin(session), ScriptedGateway("ok", "ok")
    refund = make_refund(session)
    pay(gateway, refund, admin)
    [ours] = gateway.ledger.values()
    strange = {
        "of another shop": replace(ours, gateway_refund_id="re_1", provider_payment_id="pay_of_nobody", refund_id=None),
        "failed": replace(ours, gateway_refund_id="re_2", refund_id=None),
        "known": replace(ours, gateway_refund_id="re_3", refund_id=None),
    }
    gateway.ledger |= strange
    gateway.status |= {"re_1": "processed", "re_2": "failed", "re_3": "processed"}
    known = ExternalRefund(
        payment_id=refund.payment_id,
        gateway="sandbox",
        gateway_refund_id="re_3",
        amount_cents=100,
        currency="INR",
        seen_at=now() - timedelta(days=2),
    )
    session.add(known)
    assert check(gateway)["noted"] == 0


def test_where_not_all_could_be_listed_acknowledging_takes_a_note(session, check):
    gateway = ScriptedGateway()
    gateway.lists_fail = True
    make_payment(session)
    report = check(gateway)
    assert (report["unread"], report["uncertain"], report["noted"]) == (["The list broke off"], 0, 0)
    restore_id = session.scalars(select(Restore.id)).one()
    actor = actor_of(make_admin(session, "system:restore"))
    with pytest.raises(Invalid, match="The list broke off: say in a note"):
        acknowledge(session, actor, restore_id)
    assert acknowledge(session, actor, restore_id, note="Read the dashboard").acknowledged_at is not None
