"""What every decision on a refund has in common: whether it may still be made, whose yes is missing, and what a yes sets off."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from domain import audit, notifications
from domain.access import Actor
from domain.db import now
from domain.errors import Conflict, DomainError, Forbidden
from domain.identity.models import Admin
from domain.jobs.commands import Holder, enqueue
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import REFUND_PROCESSING
from domain.marketplace.models import Payment
from domain.money import format_money
from domain.refunds.models import ProcessingState, Refund, RefundApproval, RefundStatus
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import MoneyBox, counts, money_box
from domain.restores.guard import require_unfrozen


class NotPending(Conflict):
    code = "NOT_PENDING"


class Stale(Conflict):
    """The page the decision was made on no longer shows the refund as it is."""

    code, settled = "STALE", False


class SameApprover(Forbidden):
    code = "SAME_APPROVER"


class ApprovalMismatch(Conflict):
    code = "APPROVAL_MISMATCH"


class AmountNotRefundable(DomainError):
    status, code, settled = 422, "AMOUNT_NOT_REFUNDABLE", True


@dataclass(frozen=True)
class Decision:
    """What came of an approval: decided, or waiting for a second admin (then there is no job)."""

    refund: Refund
    approvals_required: int
    approvals_received: int
    job: Job | None

    @property
    def decided(self) -> bool:
        return self.approvals_received >= self.approvals_required


def require_pending(refund: Refund, expected_version: int | None = None) -> None:
    if refund.status != RefundStatus.PENDING:
        raise NotPending(f"This refund was already decided: it is {refund.status}.", current_status=str(refund.status))
    if expected_version is not None and refund.version != expected_version:
        raise Stale("This refund has changed since the page was shown. Look at it again, then decide.", current_status=str(refund.status))


def require_refundable(money: MoneyBox, amount_cents: int) -> None:
    if amount_cents > money.refundable_cents:
        raise AmountNotRefundable(
            "Nothing is left of this payment to refund."
            if money.refundable_cents == 0
            else f"Only {format_money(money.refundable_cents, money.currency, code=True)} is left of this payment: approve at most that.",
            refundable_cents=money.refundable_cents,
        )


def say_yes(
    session: Session,
    actor: Actor,
    policy: RefundPolicy,
    payment: Payment,
    refund: Refund,
    *,
    amount_cents: int,
    reason: str,
    admin_notes: str | None,
    notify_user: bool,
    notify_vendor: bool,
    holder: Holder | None,
) -> Decision:
    """Add one admin's approval of one amount to a pending refund whose rows are locked; the last one needed decides it."""
    assert actor.admin_id is not None
    require_unfrozen(session)
    money = money_box(session, payment, policy, without=refund.id)
    require_refundable(money, amount_cents)
    required = 2 if policy.needs_two(refund.currency, money.approved_cents + amount_cents) else 1
    before = standing_approvals(session, refund.id)
    if required > 1:
        actor.require_fresh_mfa()
    for approval in before:
        if approval.admin_id == actor.admin_id:
            raise SameApprover("You gave the first approval: another admin must give the second.")
        if approval.amount_cents != amount_cents:
            raise ApprovalMismatch(
                f"The first approval is for {format_money(approval.amount_cents, refund.currency, code=True)}. "
                "Approve that amount, or reject the request.",
                approved_amount_cents=approval.amount_cents,
            )
    session.add(RefundApproval(refund_id=refund.id, admin_id=actor.admin_id, amount_cents=amount_cents, reason=reason))
    if admin_notes is not None:
        refund.admin_notes = admin_notes
    received = min(len(before) + 1, required)
    if received < required:
        refund.updated_at = now()
        audit.record(
            session,
            actor,
            "refund.approved_first",
            refund,
            before={"status": str(refund.status)},
            after={"status": str(refund.status)},
            amount_cents=amount_cents,
            currency=refund.currency,
            reason=reason,
            approvals={"required": required, "received": received},
        )
        notifications.request_second_approval(session, refund)
        return Decision(refund, required, received, None)

    refund.status = RefundStatus.APPROVED
    refund.approved_amount_cents = amount_cents
    refund.approved_at, refund.approved_by = now(), actor.admin_id
    refund.decision_reason = reason
    refund.processing_state, refund.processing_message = ProcessingState.QUEUED, None
    audit.record(
        session,
        actor,
        "refund.approved",
        refund,
        before={"status": "pending"},
        after={"status": "approved"},
        amount_cents=amount_cents,
        currency=refund.currency,
        reason=reason,
        approvals={"required": required, "received": received},
    )
    job = enqueue_payout(session, actor, refund, holder)
    notifications.request_decision(session, refund, user=notify_user, vendor=notify_vendor)
    return Decision(refund, required, received, job)


def enqueue_payout(session: Session, actor: Actor, refund: Refund, holder: Holder | None) -> Job:
    """The job that pays this refund: a new one, or the one that is still on its way out (the reconciliation follows up on it)."""
    live = session.scalar(
        select(Job).where(
            Job.type == REFUND_PROCESSING.name, Job.subject_id == refund.id, Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
        )
    )
    return live or enqueue(
        session,
        REFUND_PROCESSING.name,
        creator_id=actor.admin_id,
        subject_id=refund.id,
        metadata={"refund_id": str(refund.id), "refund_number": refund.refund_number},
        holder=holder,
    )


def decision_so_far(session: Session, policy: RefundPolicy, refund_id: UUID) -> Decision:
    """How far a refund's approval and payout have come, as the one who approved it is told."""
    refund = session.get_one(Refund, refund_id, populate_existing=True)
    payment = session.get_one(Payment, refund.payment_id)
    money = money_box(session, payment, policy, without=refund.id)
    amount = refund.approved_amount_cents or refund.requested_amount_cents
    required = 2 if policy.needs_two(refund.currency, money.approved_cents + amount) else 1
    received = required if refund.decided_for else min(len(standing_approvals(session, refund_id)), required)
    job = session.scalars(
        select(Job).where(Job.type == REFUND_PROCESSING.name, Job.subject_id == refund_id).order_by(Job.created_at.desc()).limit(1)
    ).first()
    return Decision(refund, required, received, job)


def standing_approvals(session: Session, refund_id: UUID) -> list[RefundApproval]:
    """Approvals that still count: not lapsed, by admins who may still approve."""
    found = session.scalars(
        select(RefundApproval)
        .where(RefundApproval.refund_id == refund_id)
        .options(joinedload(RefundApproval.admin, innerjoin=True).joinedload(Admin.role, innerjoin=True))
        .order_by(RefundApproval.created_at)
    )
    return [approval for approval in found if counts(approval)]
