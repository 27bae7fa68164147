"""Approving, rejecting, refunding a payment: who may, how much, and whose second yes is missing."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import Forbidden, Invalid, MfaRequired, NotFound
from domain.identity.models import Admin
from domain.jobs.commands import Holder
from domain.jobs.models import Job
from domain.refunds import commands
from domain.refunds.commands.decision import AmountNotRefundable, ApprovalMismatch, NotPending, SameApprover, Stale
from domain.refunds.models import Refund, RefundApproval
from domain.refunds.queries import RefundFilters, list_refunds
from tests.factories import actor_for, actor_of, make_admin, make_payment, make_refund, make_user, make_vendor

LARGE = 9_000_000  # above the limit of INR 85,000.00


@pytest.fixture
def approve(session, policy):
    def approve_with(actor, refund, **fields):
        decision = commands.approve(session, actor, policy, refund.id, **{"reason": "Nobody came", **fields})
        session.commit()
        return decision

    return approve_with


@pytest.fixture
def asha(session):
    return actor_of(make_admin(session, name="Asha"))


@pytest.fixture
def omar(session):
    return actor_of(make_admin(session, name="Omar"))


def entries(session, action):
    return session.scalars(select(AuditEntry).where(AuditEntry.action == action)).all()


class TestApprove:
    def test_it_decides_audits_queues_the_payout_and_tells_both(self, session, approve, asha):
        refund = make_refund(session, requested_amount_cents=5000)

        decision = approve(asha, refund, amount_cents=4000)

        assert (refund.status, refund.approved_amount_cents, refund.approved_by) == ("approved", 4000, asha.admin_id)
        assert decision.decided
        assert len(entries(session, "refund.approved")) == 1
        jobs = session.scalars(select(Job)).all()
        assert sorted(job.type for job in jobs) == ["notification", "notification", "refund_processing"]

    def test_nobody_is_told_who_should_not_be(self, session, approve, asha):
        approve(asha, make_refund(session), notify_user=False, notify_vendor=False)
        assert [job.type for job in session.scalars(select(Job))] == ["refund_processing"]

    def test_all_that_was_requested_is_the_default(self, session, approve, asha):
        refund = make_refund(session, requested_amount_cents=5000)
        approve(asha, refund)
        assert refund.approved_amount_cents == 5000

    def test_a_second_decision_is_refused(self, session, approve, asha, omar):
        refund = make_refund(session)
        approve(asha, refund)
        with pytest.raises(NotPending) as refused:
            approve(omar, refund)
        assert refused.value.details["current_status"] == "approved"

    def test_a_role_without_the_permission_is_refused(self, session, approve):
        refund = make_refund(session)
        with pytest.raises(Forbidden) as refused:
            approve(actor_of(make_admin(session, role="support_agent")), refund)
        assert refused.value.details["required_permission"] == "refunds:approve"

    def test_an_unknown_refund_is_not_found(self, session, policy, asha):
        with pytest.raises(NotFound):
            commands.approve(session, asha, policy, uuid4(), reason="Nobody came")

    @pytest.mark.parametrize("amount", [0, -1, 5001])
    def test_an_amount_beyond_what_was_requested_is_refused(self, session, approve, asha, amount):
        refund = make_refund(session, requested_amount_cents=5000)
        with pytest.raises(Invalid):
            approve(asha, refund, amount_cents=amount)

    def test_no_more_than_is_left_of_the_payment(self, session, approve, asha):
        payment = make_payment(session, amount_cents=10_000)
        first, second = (make_refund(session, payment, requested_amount_cents=6000) for _ in range(2))
        approve(asha, first)
        with pytest.raises(AmountNotRefundable) as refused:
            approve(asha, second)
        assert refused.value.details["refundable_cents"] == 4000
        session.rollback()
        approve(asha, second, amount_cents=4000)

    def test_a_refund_that_failed_leaves_its_money_to_the_others(self, session, approve, asha):
        payment = make_payment(session, amount_cents=10_000)
        make_refund(session, payment, requested_amount_cents=8000, status="approved", processing_state="failed")
        approve(asha, make_refund(session, payment, requested_amount_cents=6000))

    def test_a_payment_that_never_arrived_is_not_refundable(self, session, approve, asha):
        refund = make_refund(session, make_payment(session, status="pending"))
        with pytest.raises(AmountNotRefundable):
            approve(asha, refund)

    def test_a_page_that_is_out_of_date_decides_nothing(self, session, approve, asha):
        refund = make_refund(session)
        with pytest.raises(Stale):
            approve(asha, refund, expected_version=refund.version + 1)

    def test_the_request_that_decides_holds_the_payout_first(self, session, approve, asha):
        job = approve(asha, make_refund(session), holder=Holder("web:1", 13)).job
        assert (job.status, job.lease_owner) == ("processing", "web:1")


class TestTwoApprovals:
    def test_above_the_limit_the_first_moves_nothing(self, session, approve, asha):
        refund = make_refund(session, requested_amount_cents=LARGE)
        decision = approve(asha, refund)
        assert (decision.approvals_required, decision.approvals_received, decision.job) == (2, 1, None)
        assert refund.status == "pending"
        assert session.scalar(select(Job).where(Job.type == "refund_processing")) is None

    def test_the_limit_itself_needs_one(self, session, approve, asha):
        assert approve(asha, make_refund(session, requested_amount_cents=8_500_000)).decided

    def test_a_second_admin_decides(self, session, approve, asha, omar):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        assert approve(omar, refund).decided
        assert (refund.status, refund.approved_by) == ("approved", omar.admin_id)

    def test_the_same_admin_twice_is_refused(self, session, approve, asha):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        with pytest.raises(SameApprover):
            approve(asha, refund)

    def test_both_must_mean_the_same_amount(self, session, approve, asha, omar):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund, amount_cents=LARGE - 1)
        with pytest.raises(ApprovalMismatch):
            approve(omar, refund, amount_cents=LARGE)

    def test_a_smaller_amount_is_no_way_around_the_first_approval(self, session, approve, asha, omar):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        with pytest.raises(ApprovalMismatch):
            approve(omar, refund, amount_cents=1000)
        session.rollback()
        with pytest.raises(SameApprover):
            approve(asha, refund, amount_cents=1000)

    def test_it_needs_a_fresh_second_factor(self, session, approve, asha):
        refund = make_refund(session, requested_amount_cents=LARGE)
        stale = actor_for(session.get_one(Admin, asha.admin_id), mfa_at=now() - timedelta(minutes=11))
        with pytest.raises(MfaRequired):
            approve(stale, refund)

    def test_splitting_does_not_help(self, session, approve, asha):
        payment = make_payment(session, amount_cents=20_000_000)
        first, second = (make_refund(session, payment, requested_amount_cents=5_000_000) for _ in range(2))
        assert approve(asha, first).decided
        assert not approve(asha, second).decided

    def test_a_currency_without_a_limit_always_needs_two(self, session, approve, asha):
        assert not approve(asha, make_refund(session, requested_amount_cents=1, currency="KWD")).decided

    def test_the_first_lapses_after_72_hours(self, session, approve, asha, omar):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        first = session.scalars(select(RefundApproval)).one()
        first.created_at = now() - timedelta(hours=72, seconds=1)
        session.commit()
        assert not approve(omar, refund).decided
        assert approve(asha, refund).decided

    @pytest.mark.parametrize("loss", ["disabled", "role"])
    def test_the_first_counts_only_while_its_admin_may_approve(self, session, approve, asha, omar, loss):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        first = session.get_one(Admin, asha.admin_id)
        if loss == "disabled":
            first.disabled_at = now()
        else:
            first.role_id = "support_agent"
        session.commit()
        session.expire_all()
        assert not approve(omar, refund).decided

    def test_either_may_reject_it(self, session, approve, asha, omar):
        refund = make_refund(session, requested_amount_cents=LARGE)
        approve(asha, refund)
        commands.reject(session, omar, refund.id, reason="A duplicate")
        session.commit()
        assert refund.status == "rejected"
        with pytest.raises(NotPending):
            approve(omar, refund)


class TestReject:
    def test_it_rejects_audits_and_tells_the_customer(self, session, asha):
        refund = make_refund(session)
        commands.reject(session, asha, refund.id, reason="The service was provided", offer_alternative="partial_credit")
        session.commit()
        assert (refund.status, refund.rejected_by, refund.offer_alternative) == ("rejected", asha.admin_id, "partial_credit")
        assert len(entries(session, "refund.rejected")) == 1
        assert [job.payload["audience"] for job in session.scalars(select(Job))] == ["user"]

    def test_a_decided_one_stays_as_it_is(self, session, approve, asha):
        refund = make_refund(session)
        approve(asha, refund)
        with pytest.raises(NotPending):
            commands.reject(session, asha, refund.id, reason="Too late")


class TestRefundPayment:
    def refund(self, session, actor, policy, payment, **fields):
        decision = commands.refund_payment(session, actor, policy, payment.id, **{"reason": "Goodwill", **fields})
        session.commit()
        return decision

    def test_under_the_limit_it_is_decided_at_once(self, session, asha, policy):
        payment = make_payment(session, amount_cents=5000)
        decision = self.refund(session, asha, policy, payment)
        assert decision.decided
        assert decision.refund.requested_amount_cents == 5000
        assert decision.refund.refund_number == f"RF-{now().year}-000001"

    def test_numbers_are_given_once(self, session, asha, policy):
        numbers = [self.refund(session, asha, policy, make_payment(session)).refund.refund_number for _ in range(3)]
        assert len(set(numbers)) == 3

    def test_above_the_limit_it_is_its_makers_first_approval(self, session, asha, omar, policy, approve):
        decision = self.refund(session, asha, policy, make_payment(session, amount_cents=LARGE))
        assert not decision.decided
        with pytest.raises(SameApprover):
            approve(asha, decision.refund)
        session.rollback()
        assert approve(omar, decision.refund).decided

    def test_splitting_a_payment_into_direct_refunds_does_not_help(self, session, asha, policy):
        payment = make_payment(session, amount_cents=LARGE)
        assert self.refund(session, asha, policy, payment, amount_cents=LARGE // 2).decided
        assert not self.refund(session, asha, policy, payment, amount_cents=LARGE // 2).decided

    def test_what_is_left_is_the_most(self, session, asha, policy):
        payment = make_payment(session, amount_cents=5000)
        with pytest.raises(AmountNotRefundable):
            self.refund(session, asha, policy, payment, amount_cents=5001)
        session.rollback()
        assert session.scalar(select(Refund)) is None

    def test_an_exhausted_payment_has_nothing_left(self, session, asha, policy):
        payment = make_payment(session, amount_cents=5000)
        self.refund(session, asha, policy, payment)
        with pytest.raises(AmountNotRefundable):
            self.refund(session, asha, policy, payment)

    def test_it_needs_its_own_permission(self, session, policy):
        actor = actor_of(make_admin(session, Permission.REFUNDS_APPROVE))
        with pytest.raises(Forbidden):
            self.refund(session, actor, policy, make_payment(session))


class TestQueries:
    def test_filters_and_counts_agree(self, session, asha, policy):
        user, vendor = make_user(session, name="Priya 100%"), make_vendor(session)
        make_refund(session, requested_amount_cents=100)
        make_refund(session, requested_amount_cents=900, status="rejected")
        make_refund(session, requested_amount_cents=700, currency="USD")
        page = list_refunds(session, asha, RefundFilters(min_amount=500), policy)
        assert page.summary["pending"] + page.summary["rejected"] == page.total_items == 2
        assert page.summary["by_currency"] == {"USD": 700}
        assert list_refunds(session, asha, RefundFilters(status=("rejected",)), policy).total_items == 1
        assert list_refunds(session, asha, RefundFilters(user_id=user.id, vendor_id=vendor.id), policy).total_items == 0

    def test_a_search_takes_percent_signs_as_they_are(self, session, asha, policy):
        refund = make_refund(session)
        assert [row.refund.id for row in list_refunds(session, asha, RefundFilters(q=refund.refund_number[-4:]), policy)] == [refund.id]
        assert list_refunds(session, asha, RefundFilters(q="%"), policy).total_items == 0

    def test_a_cursor_reads_on_where_the_page_ended(self, session, asha, policy):
        moment = now()
        made = {make_refund(session, requested_at=moment).id for _ in range(7)}
        seen, cursor = [], None
        while True:
            page = list_refunds(session, asha, RefundFilters(page_size=3, cursor=cursor), policy)
            seen += [row.refund.id for row in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(seen) == 7
        assert set(seen) == made

    def test_awaiting_a_second_approval(self, session, asha, policy, approve):
        waiting = make_refund(session, requested_amount_cents=LARGE)
        make_refund(session, requested_amount_cents=LARGE)
        approve(asha, waiting)
        page = list_refunds(session, asha, RefundFilters(awaiting="second_approval"), policy)
        assert [(row.refund.id, row.approvals_received) for row in page] == [(waiting.id, 1)]
        assert page.total_items == 1
