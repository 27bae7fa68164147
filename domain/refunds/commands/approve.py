from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.errors import Invalid
from domain.jobs.commands import Holder
from domain.refunds.commands.decision import Decision, require_pending, say_yes
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import lock_for_decision


def approve(
    session: Session,
    actor: Actor,
    policy: RefundPolicy,
    refund_id: UUID,
    *,
    reason: str,
    amount_cents: int | None = None,
    admin_notes: str | None = None,
    notify_user: bool = True,
    notify_vendor: bool = True,
    expected_version: int | None = None,
    holder: Holder | None = None,
) -> Decision:
    """Approve a pending refund, or give the first of the two approvals it needs; the payout itself goes out as a job.

    `amount_cents` is in minor units of the refund's currency and defaults to what was requested. Raises NotFound, NotPending, Stale,
    Invalid, AmountNotRefundable, SameApprover, ApprovalMismatch, MfaRequired.
    """
    actor.require(Permission.REFUNDS_APPROVE)
    payment, refund = lock_for_decision(session, refund_id)
    require_pending(refund, expected_version)
    amount = refund.requested_amount_cents if amount_cents is None else amount_cents
    if not 1 <= amount <= refund.requested_amount_cents:
        raise Invalid(
            f"Approve from 1 to the {refund.requested_amount_cents} that was requested (minor units of {refund.currency}).",
            field="approved_amount_cents",
        )
    return say_yes(
        session,
        actor,
        policy,
        payment,
        refund,
        amount_cents=amount,
        reason=reason,
        admin_notes=admin_notes,
        notify_user=notify_user,
        notify_vendor=notify_vendor,
        holder=holder,
    )
