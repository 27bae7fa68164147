"""From an approved refund to money that has moved, once."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.audit.models import AuditEntry
from domain.db import now
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, Failed
from domain.refunds import commands, reconcile
from domain.refunds.gateway import Facts, GatewayNotice, Pending, Processed, Rejected
from domain.refunds.models import ExternalRefund, RefundAttempt
from domain.refunds.settlement import settle
from domain.refunds.webhooks import receive
from tests.domain.gateways import ScriptedGateway
from tests.factories import actor_of, make_admin, make_refund


@pytest.fixture
def approved(session, policy):
    """An approved refund whose payout nobody has begun."""
    refund = make_refund(session, requested_amount_cents=5000)
    admin = make_admin(session)
    commands.approve(session, actor_of(admin), policy, refund.id, reason="Nobody came")
    session.commit()
    return refund


@pytest.fixture
def run(transactions, approved, session):
    """Settle with a gateway and show the refund as it is then."""

    refund_id = approved.id

    def run_with(gateway):
        outcome = settle(transactions, {"sandbox": gateway}, refund_id)
        session.refresh(approved)
        session.commit()
        return outcome

    return run_with


def attempts(session):
    session.rollback()
    found = session.scalars(select(RefundAttempt).order_by(RefundAttempt.number)).all()
    session.rollback()
    return found


class TestSettle:
    def test_it_pays_and_writes_the_transaction_id(self, run, approved, session):
        gateway = ScriptedGateway()

        outcome = run(gateway)

        [attempt] = attempts(session)
        assert isinstance(outcome, Done)
        assert (approved.status, approved.processing_state) == ("processed", "done")
        assert approved.transaction_id == attempt.gateway_refund_id == gateway.ledger[attempt.gateway_key].gateway_refund_id
        assert attempt.gateway_key == f"rr-{approved.id}-a1"

    def test_a_second_run_asks_nobody(self, run):
        gateway = ScriptedGateway()
        run(gateway)
        assert isinstance(run(gateway), Done)
        assert gateway.calls == ["create"]

    def test_taken_but_not_final_is_accepted(self, run, approved):
        assert isinstance(run(ScriptedGateway("pending")), Done)
        assert (approved.status, approved.processing_state) == ("approved", "accepted")
        assert approved.refund_processed

    def test_a_lost_answer_is_unknown_and_then_found(self, run, approved):
        gateway = ScriptedGateway("lost")

        first = run(gateway)

        assert isinstance(first, Again)
        assert approved.processing_state == "unknown"
        assert isinstance(run(gateway), Done)
        assert approved.status == "processed"
        assert gateway.calls == ["create", "find"]

    def test_what_never_arrived_is_sent_again_under_the_same_key(self, run, approved, session):
        gateway = ScriptedGateway("vanished")
        run(gateway)
        assert isinstance(run(gateway), Done)
        assert gateway.calls == ["create", "find", "create"]
        assert [attempt.number for attempt in attempts(session)] == [1]

    def test_unknown_stays_unknown_while_it_cannot_be_looked_up(self, run, approved):
        gateway = ScriptedGateway("lost")
        run(gateway)
        gateway.lookups_fail = True
        for _ in range(5):
            assert isinstance(run(gateway), Again)
        assert approved.processing_state == "unknown"
        assert gateway.calls.count("create") == 1

    def test_a_busy_gateway_is_asked_again_without_a_look_up(self, run, approved):
        gateway = ScriptedGateway("busy")
        outcome = run(gateway)
        assert isinstance(outcome, Again)
        assert outcome.after >= 2
        assert approved.processing_state == "queued"
        run(gateway)
        assert gateway.calls == ["create", "create"]

    def test_a_long_wait_ends_with_a_look_before_anything_is_sent(self, run, session):
        gateway = ScriptedGateway("busy")
        run(gateway)
        [attempt] = attempts(session)
        attempt.last_sent_at = now() - timedelta(minutes=11)
        session.add(attempt)
        session.commit()
        run(gateway)
        assert gateway.calls == ["create", "find", "create"]

    def test_a_decline_needs_a_person(self, run, approved, session):
        outcome = run(ScriptedGateway("declined"))
        assert outcome == Failed("DECLINED", "The card was closed")
        assert (approved.status, approved.processing_state, approved.processing_message) == ("approved", "failed", "The card was closed")
        assert session.scalar(select(AuditEntry).where(AuditEntry.action == "refund.failed")) is not None
        told = [job.payload for job in session.scalars(select(Job).where(Job.type == "notification"))]
        assert any(metadata["notice"] == "refund_failed" for metadata in told)

    def test_a_process_that_died_while_asking_left_an_unknown(self, transactions, run, approved, session):
        class Died(BaseException):
            pass

        def die(order):
            raise Died

        gateway = ScriptedGateway()
        gateway.before_answer = die
        with pytest.raises(Died):
            run(gateway)
        session.refresh(approved)
        assert approved.processing_state == "asking"
        session.commit()
        gateway.before_answer = lambda order: None
        run(gateway)
        assert approved.status == "processed"
        assert gateway.calls == ["create", "find"]
        assert len(gateway.ledger) == 1

    def test_an_amount_the_gateway_misreports_is_never_taken_for_done(self, run, approved, session):
        gateway = ScriptedGateway("other_amount")
        run(gateway)
        assert approved.processing_state == "unknown"
        assert "amount" in approved.processing_message
        run(gateway)
        assert approved.processing_state == "unknown"
        assert gateway.calls.count("create") == 1

    def test_one_active_attempt_is_a_rule_of_the_database(self, run, approved, session):
        run(ScriptedGateway("pending"))
        [attempt] = attempts(session)
        twin = RefundAttempt(
            refund_id=approved.id,
            number=2,
            gateway="sandbox",
            gateway_key="other",
            provider_payment_id="x",
            amount_cents=1,
            currency="INR",
            body=b"",
        )
        session.add(twin)
        with pytest.raises(IntegrityError):
            session.flush()


class TestRetry:
    @pytest.fixture
    def failed(self, run, approved):
        run(ScriptedGateway("declined"))
        return approved

    def test_a_retry_makes_a_second_attempt_after_a_look_at_the_first(self, failed, run, session, policy):
        commands.retry(session, actor_of(make_admin(session)), policy, failed.id)
        session.commit()
        gateway = ScriptedGateway()
        assert isinstance(run(gateway), Done)
        assert gateway.calls == ["find", "create"]
        assert [attempt.gateway_key[-3:] for attempt in attempts(session)] == ["-a1", "-a2"]
        assert failed.status == "processed"

    def test_a_declined_order_that_was_paid_after_all_is_adopted_and_not_paid_again(self, failed, run, session, policy):
        [first] = attempts(session)
        gateway = ScriptedGateway()
        gateway.ledger[first.gateway_key] = Facts("re_late", 5000, "inr", first.provider_payment_id, failed.id, 1)
        gateway.status["re_late"] = "processed"
        commands.retry(session, actor_of(make_admin(session)), policy, failed.id)
        session.commit()
        run(gateway)
        assert gateway.calls == ["find"]
        assert (failed.status, failed.transaction_id) == ("processed", "re_late")

    def test_only_a_failed_one_can_be_retried(self, run, approved, session, policy):
        run(ScriptedGateway())
        with pytest.raises(commands.retry.__globals__["NotFailed"]):
            commands.retry(session, actor_of(make_admin(session)), policy, approved.id)


class TestWebhooks:
    def notice(self, refund, attempt, kind=Processed, event_id="evt_1", gateway_refund_id="re_hook", **facts):
        fields = {"amount_cents": attempt.amount_cents, "currency": "inr", "provider_payment_id": attempt.provider_payment_id}
        stated = Facts(gateway_refund_id, refund_id=refund.id, attempt=attempt.number, **{**fields, **facts})
        verdict = Rejected("bank_refused", "The bank sent it back", stated) if kind is Rejected else kind(stated)
        return GatewayNotice(event_id, "refund.updated", verdict, {"id": event_id})

    def test_one_that_overtakes_the_answer_is_adopted(self, transactions, run, approved, session):
        gateway = ScriptedGateway()

        def overtake(order):
            with transactions() as other:
                facts = gateway.ledger[order.key]
                receive(other, "sandbox", GatewayNotice("evt_1", "refund.updated", Processed(facts), {}))

        gateway.before_answer = overtake
        assert isinstance(run(gateway), Done)
        assert approved.status == "processed"
        assert len(attempts(session)) == 1

    def test_each_event_counts_once(self, run, approved, session):
        run(ScriptedGateway("pending"))
        [attempt] = attempts(session)
        notice = self.notice(approved, attempt, gateway_refund_id=attempt.gateway_refund_id)
        assert receive(session, "sandbox", notice) is True
        assert receive(session, "sandbox", notice) is False
        session.commit()
        session.refresh(approved)
        assert approved.status == "processed"

    @pytest.mark.parametrize("order", [(Processed, Rejected), (Rejected, Processed), (Pending, Rejected, Processed, Pending)])
    def test_in_any_order_a_failure_is_the_last_word(self, run, approved, session, order):
        run(ScriptedGateway("pending"))
        [attempt] = attempts(session)
        for number, kind in enumerate(order):
            receive(session, "sandbox", self.notice(approved, attempt, kind, f"evt_{number}", attempt.gateway_refund_id))
            session.commit()
        session.refresh(approved)
        assert (approved.status, approved.processing_state) == ("approved", "failed")
        assert approved.transaction_id is None

    def test_money_given_back_elsewhere_lowers_what_is_left(self, session, policy):
        refund = make_refund(session, requested_amount_cents=5000)
        facts = Facts("re_dashboard", 2000, "inr", refund.payment.provider_payment_id)
        receive(session, "sandbox", GatewayNotice("evt_9", "refund.created", Processed(facts), {}))
        session.commit()
        assert session.scalar(select(ExternalRefund.amount_cents)) == 2000
        with pytest.raises(Exception, match=r"30\.00 is left"):
            commands.approve(session, actor_of(make_admin(session)), policy, refund.id, reason="Nobody came")

    def test_one_about_a_payment_that_is_not_ours_changes_nothing(self, session):
        facts = Facts("re_x", 2000, "inr", "pi_unknown", refund_id=uuid4(), attempt=1)
        assert receive(session, "sandbox", GatewayNotice("evt_9", "refund.created", Processed(facts), {})) is True
        session.commit()
        assert session.scalar(select(ExternalRefund)) is None


class TestReconcile:
    def test_an_accepted_refund_becomes_final_without_a_webhook(self, transactions, run, approved, session):
        gateway = ScriptedGateway("pending")
        run(gateway)
        [attempt] = attempts(session)
        gateway.status[attempt.gateway_refund_id] = "processed"
        assert reconcile.wanted(session) is False
        attempt.next_check_at = now() - timedelta(seconds=1)
        session.add(attempt)
        session.commit()
        assert reconcile.wanted(session) is True
        session.commit()
        reconcile.reconcile(transactions, {"sandbox": gateway})
        session.refresh(approved)
        assert approved.status == "processed"

    def test_a_done_refund_that_fails_later_comes_back(self, transactions, run, approved, session):
        gateway = ScriptedGateway()
        run(gateway)
        [attempt] = attempts(session)
        gateway.status[attempt.gateway_refund_id] = "failed"
        attempt.next_check_at = now() - timedelta(seconds=1)
        session.add(attempt)
        session.commit()
        reconcile.reconcile(transactions, {"sandbox": gateway})
        session.refresh(approved)
        assert (approved.status, approved.processing_state) == ("approved", "failed")

    def test_an_approved_refund_without_a_job_gets_one(self, transactions, approved, session):
        for job in session.scalars(select(Job)):
            session.delete(job)
        session.commit()
        assert reconcile.wanted(session) is True
        session.commit()
        reconcile.reconcile(transactions, {"sandbox": ScriptedGateway()})
        assert session.scalar(select(Job.subject_id).where(Job.type == "refund_processing")) == approved.id

    def test_two_workers_ask_for_one_reconciliation(self, approved, session):
        for job in session.scalars(select(Job)):
            session.delete(job)
        session.commit()
        assert reconcile.request(session) is not None
        assert reconcile.request(session) is None
        session.commit()
