from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.errors import Conflict
from domain.jobs.commands import Holder
from domain.jobs.models import Job
from domain.refunds.commands.decision import enqueue_payout, require_refundable
from domain.refunds.models import ProcessingState, Refund, RefundStatus
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import lock_for_decision, money_box
from domain.restores.guard import require_unfrozen


class NotFailed(Conflict):
    code = "NOT_FAILED"


def retry(session: Session, actor: Actor, policy: RefundPolicy, refund_id: UUID, *, holder: Holder | None = None) -> tuple[Refund, Job]:
    """Order an approved refund again that the gateway declined. The decision stands, so its approvals do too.

    Raises NotFound, NotFailed, AmountNotRefundable (what it would take was given back elsewhere meanwhile).
    """
    actor.require(Permission.REFUNDS_APPROVE)
    require_unfrozen(session)
    payment, refund = lock_for_decision(session, refund_id)
    if refund.status != RefundStatus.APPROVED or refund.processing_state != ProcessingState.FAILED:
        raise NotFailed(
            "Only an approved refund that the gateway declined can be tried again.",
            current_status=str(refund.status),
            processing_state=refund.processing_state,
        )
    assert refund.approved_amount_cents is not None
    require_refundable(money_box(session, payment, policy, without=refund.id), refund.approved_amount_cents)
    refund.processing_state, refund.processing_message = ProcessingState.QUEUED, None
    audit.record(
        session,
        actor,
        "refund.retried",
        refund,
        before={"processing_state": "failed"},
        after={"processing_state": "queued"},
        amount_cents=refund.approved_amount_cents,
        currency=refund.currency,
    )
    return refund, enqueue_payout(session, actor, refund, holder)
