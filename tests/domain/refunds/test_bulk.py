"""Many refunds decided as one job: one verdict each, and nothing twice however often it is run."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from domain.access import Permission, operator
from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import Forbidden, Invalid
from domain.identity.models import Admin
from domain.jobs import commands as jobs
from domain.jobs import leases
from domain.jobs.models import Job
from domain.jobs.outcomes import Done, Failed
from domain.refunds import bulk, commands
from domain.refunds.models import Refund, RefundApproval
from domain.roles.models import Role
from tests.domain.gateways import ScriptedGateway
from tests.factories import actor_of, make_admin, make_payment, make_refund

LARGE = 9_000_000  # above the limit of INR 85,000.00


class Died(BaseException):
    """The worker is gone: nothing after this line runs."""


@pytest.fixture
def admin(session):
    admin = make_admin(session, Permission.REFUNDS_APPROVE, Permission.JOBS_RETRY)
    session.commit()
    return admin


@pytest.fixture
def refunds(session):
    made = [make_refund(session, requested_amount_cents=5000) for _ in range(5)]
    session.commit()
    return made


@pytest.fixture
def start(session, admin):
    def start_with(refunds, action="approve", **fields):
        ids = [getattr(refund, "id", refund) for refund in refunds]
        job = bulk.start(session, actor_of(admin), **{"action": action, "refund_ids": ids, "reason": "Nobody came", **fields})
        session.commit()
        return job

    return start_with


@pytest.fixture
def run(transactions, policy, session):
    """Run the job as a worker would and show what came of it; `owner` is the worker."""

    def run_with(job, gateway=None, check=lambda: None, owner="a"):
        with transactions() as own:
            claimed = leases.claim(own, job.id, owner)
        tools = bulk.Tools(transactions, {"sandbox": gateway or ScriptedGateway()}, policy, 8.0, check)
        outcome = bulk.decide_all(tools, claimed, owner)
        with transactions() as own:
            leases.finish(own, job.id, owner, outcome)
        session.refresh(job)
        session.commit()
        return outcome

    return run_with


@pytest.fixture
def bury(session):
    """What the sweep does once the leases of a dead worker have run out."""

    def bury_all():
        session.execute(update(Job).where(Job.status == "processing").values(lease_until=now() - timedelta(seconds=1)))
        leases.sweep(session)
        session.commit()

    return bury_all


def verdicts(job):
    return [verdict["verdict"] for verdict in job.result["verdicts"]]


def decisions(session):
    """How often each refund was decided, by the audit log."""
    session.rollback()
    decided = AuditEntry.action.in_(("refund.approved", "refund.rejected"))
    counted = dict(session.execute(select(AuditEntry.object_id, func.count()).where(decided).group_by(AuditEntry.object_id)).all())
    session.rollback()
    return counted


class TestStart:
    def test_it_writes_the_wish_into_the_job(self, start, refunds, admin):
        job = start(refunds[:2], "reject", offer_alternative="rebooking")
        assert (job.type, job.creator_id) == ("bulk_operation", admin.id)
        assert job.payload == {
            "action": "reject",
            "refund_ids": [str(refund.id) for refund in refunds[:2]],
            "reason": "Nobody came",
            "admin_notes": None,
            "notify_user": True,
            "notify_vendor": True,
            "offer_alternative": "rebooking",
        }

    def test_only_whoever_decides_on_refunds_may(self, session, refunds):
        for actor in (actor_of(make_admin(session, Permission.JOBS_LIST_ALL)), operator()):
            with pytest.raises(Forbidden):
                bulk.start(session, actor, action="approve", refund_ids=[refunds[0].id], reason="Nobody came")

    def test_a_wish_that_cannot_be_meant_is_refused(self, start, refunds):
        for wrong in ([], [refunds[0], refunds[0]], [uuid4() for _ in range(501)]):
            with pytest.raises(Invalid):
                start(wrong)
        with pytest.raises(Invalid):
            start(refunds, "forget")


class TestVerdicts:
    def test_each_is_approved_and_paid(self, start, run, refunds, session, admin):
        job = start(refunds)
        gateway = ScriptedGateway()

        assert isinstance(run(job, gateway), Done)

        assert job.result["counts"] == {"paid": 5}
        assert [verdict["refund_number"] for verdict in job.result["verdicts"]] == [refund.refund_number for refund in refunds]
        assert len(gateway.ledger) == 5
        session.refresh(refunds[0])
        assert (refunds[0].status, refunds[0].approved_by, refunds[0].approved_amount_cents) == ("processed", admin.id, 5000)
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "refund.approved").limit(1)).one()
        assert (entry.actor_id, entry.request_id) == (admin.id, f"job {job.id}")

    def test_each_is_rejected_and_told_so(self, start, run, refunds, session):
        job = start(refunds, "reject", offer_alternative="rebooking", admin_notes="Five at once")
        gateway = ScriptedGateway()
        run(job, gateway)
        session.refresh(refunds[0])
        assert job.result["counts"] == {"rejected": 5}
        assert (refunds[0].status, refunds[0].offer_alternative, refunds[0].admin_notes) == ("rejected", "rebooking", "Five at once")
        assert gateway.calls == []
        assert session.scalar(select(func.count()).where(Job.type == "notification")) == 5

    def test_nobody_is_told_who_should_not_be(self, start, run, refunds, session):
        run(start(refunds, notify_user=False, notify_vendor=False))
        assert session.scalar(select(func.count()).where(Job.type == "notification")) == 0

    def test_what_cannot_be_decided_is_said_and_left(self, start, run, session, policy):
        decided, large, spent, fine = (make_refund(session, requested_amount_cents=amount) for amount in (5000, LARGE, 5000, 5000))
        commands.reject(session, actor_of(make_admin(session)), decided.id, reason="Too late")
        twin = make_refund(session, spent.payment, requested_amount_cents=5000)
        commands.approve(session, actor_of(make_admin(session)), policy, twin.id, reason="Nobody came")
        session.commit()
        job = start([decided, large, uuid4(), spent, fine])

        run(job)

        assert verdicts(job) == ["not_pending", "needs_second_approver", "not_found", "not_refundable", "paid"]
        assert job.result["verdicts"][0]["current_status"] == "rejected"
        assert job.result["verdicts"][2]["refund_number"] is None
        session.refresh(large)
        assert large.status == "pending"
        assert session.scalar(select(func.count()).where(RefundApproval.refund_id == large.id)) == 0

    def test_small_refunds_of_one_payment_come_to_the_limit_together(self, start, run, session):
        payment = make_payment(session, amount_cents=LARGE)
        first, second = (make_refund(session, payment, requested_amount_cents=LARGE // 2) for _ in range(2))
        session.commit()
        job = start([first, second])
        run(job)
        assert verdicts(job) == ["paid", "needs_second_approver"]

    def test_ones_own_first_approval_is_never_made_the_second(self, start, run, session, policy, admin):
        large = make_refund(session, requested_amount_cents=LARGE)
        commands.approve(session, actor_of(admin), policy, large.id, reason="Nobody came")
        session.commit()
        job = start([large])
        run(job)
        assert verdicts(job) == ["needs_second_approver"]
        session.refresh(large)
        assert large.status == "pending"

    def test_a_decline_and_a_busy_gateway_stop_nothing(self, start, run, refunds):
        job = start(refunds)
        run(job, ScriptedGateway("declined", "busy", "pending"))
        assert verdicts(job) == ["failed", "queued", "accepted", "paid", "paid"]
        assert job.result["verdicts"][0]["message"] == "The card was closed"

    def test_it_stops_at_the_first_outcome_that_nobody_knows(self, start, run, refunds, session):
        job = start(refunds)
        gateway = ScriptedGateway("ok", "lost")

        assert isinstance(run(job, gateway), Done)

        assert verdicts(job) == ["paid", "unknown", "not_tried", "not_tried", "not_tried"]
        assert refunds[1].refund_number in job.result["verdicts"][2]["message"]
        assert [session.refresh(refund) or refund.status for refund in refunds[2:]] == ["pending"] * 3
        payout = session.scalars(select(Job).where(Job.subject_id == refunds[1].id)).one()
        assert payout.status == "pending"  # it is carried on by its own job
        assert gateway.calls == ["create", "create"]


class TestAuthority:
    def test_it_is_the_creators_at_the_moment_of_each_decision(self, start, run, refunds, session, transactions, admin):
        job = start(refunds)
        gateway = ScriptedGateway()

        def disable(order):
            if len(gateway.ledger) == 2:
                with transactions() as other:
                    other.get_one(Admin, admin.id).disabled_at = now()

        gateway.before_answer = disable
        outcome = run(job, gateway)
        assert isinstance(outcome, Failed)
        assert (job.status, job.error["code"]) == ("failed", "FORBIDDEN")
        assert verdicts(job) == ["paid", "paid", "not_tried", "not_tried", "not_tried"]
        assert len(decisions(session)) == 2

    def test_a_permission_taken_away_stops_it(self, start, run, refunds, session, admin):
        job = start(refunds)
        session.get_one(Role, admin.role_id).permissions = ["jobs:list"]
        session.commit()
        run(job)
        assert (job.status, job.error["code"], decisions(session)) == ("failed", "FORBIDDEN", {})
        assert "refunds:approve" in job.error["message"]

    def test_a_job_that_no_admin_started_decides_nothing(self, run, refunds, session):
        parameters = {"action": "approve", "refund_ids": [str(refunds[0].id)], "reason": "Nobody came"}
        job = jobs.enqueue(session, "bulk_operation", metadata=parameters)
        session.commit()
        run(job)
        assert (job.error["code"], decisions(session)) == ("FORBIDDEN", {})


class TestAgain:
    def test_a_second_run_decides_nothing_twice(self, start, run, bury, refunds, session):
        job = start(refunds)
        gateway = ScriptedGateway()

        def die_at(count):
            def check():
                if len(gateway.ledger) == count:
                    raise Died

            return check

        with pytest.raises(Died):
            run(job, gateway, die_at(3))
        session.refresh(job)
        assert verdicts(job) == ["paid", "paid", "paid", "not_tried", "not_tried"]
        assert job.stage == "3 of 5 refunds"
        bury()
        run(job, gateway, owner="b")
        assert verdicts(job) == ["paid"] * 5
        assert set(decisions(session).values()) == {1}
        assert gateway.calls == ["create"] * 5

    @pytest.mark.parametrize("taken", [True, False])
    def test_a_worker_that_dies_while_the_gateway_is_asked_leaves_one_payment(self, start, run, bury, refunds, session, taken):
        job = start(refunds)
        gateway = ScriptedGateway("ok", "ok" if taken else "vanished")

        def die(order):
            if len(gateway.ledger) == 2:
                raise Died

        gateway.before_answer = die
        create = gateway.create
        if not taken:
            gateway.create = lambda order, deadline=None: died() if len(gateway.ledger) == 1 else create(order, deadline=deadline)
        with pytest.raises(Died):
            run(job, gateway)
        session.refresh(job)
        assert verdicts(job) == ["paid", "approved", "not_tried", "not_tried", "not_tried"]
        gateway.before_answer, gateway.create, gateway.script = (lambda order: None), create, []
        bury()
        run(job, gateway, owner="b")
        assert verdicts(job) == ["paid"] * 5
        assert len(gateway.ledger) == 5
        assert set(decisions(session).values()) == {1}

    def test_a_payout_that_another_worker_has_meanwhile_is_waited_for(self, start, run, bury, refunds, session, transactions):
        job = start(refunds[:1])
        gateway = ScriptedGateway()
        gateway.before_answer = lambda order: died()
        with pytest.raises(Died):
            run(job, gateway)
        bury()
        payout = session.scalars(select(Job).where(Job.subject_id == refunds[0].id)).one()
        leases.claim(session, payout.id, "the other worker")
        session.commit()
        waited = []

        def settle_elsewhere():
            waited.append(1)
            if len(waited) == 2:
                gateway.before_answer = lambda order: None
                bulk.settle_held(transactions, {"sandbox": gateway}, payout.id, "the other worker", refunds[0].id)

        run(job, gateway, settle_elsewhere, owner="b")
        assert verdicts(job) == ["paid"]
        assert len(gateway.ledger) == 1

    def test_one_that_nobody_comes_to_know_of_in_time_is_unknown(self, start, run, bury, refunds, session):
        job = start(refunds)
        gateway = ScriptedGateway()
        gateway.before_answer = lambda order: died()
        with pytest.raises(Died):
            run(job, gateway)
        bury()
        gateway.lookups_fail = True
        run(job, gateway, owner="b")
        assert verdicts(job) == ["unknown", *["not_tried"] * 4]

    def test_a_stop_at_an_unknown_outcome_outlives_the_worker(self, start, run, bury, refunds, session, monkeypatch):
        job = start(refunds)
        monkeypatch.setattr(bulk.Run, "stop_after", lambda run, refund_id: died())
        with pytest.raises(Died):
            run(job, ScriptedGateway("lost"))
        monkeypatch.undo()
        bury()
        run(job, ScriptedGateway(), owner="b")
        assert verdicts(job) == ["unknown", *["not_tried"] * 4]

    def test_a_worker_that_was_given_up_for_dead_decides_nothing_more(self, start, run, bury, refunds, session):
        job = start(refunds)
        with pytest.raises(bulk.NotOurs):
            run(job, check=bury)
        assert decisions(session) == {}

    def test_a_cancelled_one_keeps_its_verdicts_and_decides_nothing_more(self, start, run, refunds, session, transactions, admin):
        job = start(refunds)
        gateway = ScriptedGateway()

        def cancel():
            if len(gateway.ledger) == 2:
                with transactions() as other:
                    jobs.cancel(other, actor_of(other.get_one(Admin, admin.id)), job.id)

        with pytest.raises(bulk.NotOurs):
            run(job, gateway, cancel)
        session.refresh(job)
        assert job.status == "cancelled"
        assert verdicts(job) == ["paid", "paid", "not_tried", "not_tried", "not_tried"]
        assert len(decisions(session)) == 2

    def test_a_failed_one_that_is_asked_for_again_goes_on_where_it_ended(self, start, run, refunds, session, transactions, admin):
        job = start(refunds)
        gateway = ScriptedGateway("ok", "busy")

        def disable(order):
            with transactions() as other:
                other.get_one(Admin, admin.id).disabled_at = now()

        gateway.before_answer = lambda order: disable(order) if len(gateway.ledger) == 2 else None
        run(job, gateway)
        assert verdicts(job) == ["paid", "queued", "paid", "not_tried", "not_tried"]
        session.refresh(admin)
        admin.disabled_at = None
        session.commit()
        again = jobs.retry(session, actor_of(admin), job.id)
        session.execute(update(Job).where(Job.subject_id == refunds[1].id).values(run_after=now()))
        session.commit()

        run(again, gateway, owner="b")

        assert verdicts(again) == ["paid"] * 5
        assert set(decisions(session).values()) == {1}
        assert len(gateway.ledger) == 5

    def test_the_same_wish_as_another_job_says_that_they_were_decided(self, start, run, refunds, session):
        run(start(refunds))
        second = start(refunds)
        run(second, owner="b")
        assert verdicts(second) == ["not_pending"] * 5
        assert session.scalar(select(func.count()).select_from(Refund).where(Refund.status == "processed")) == 5


def died():
    raise Died
