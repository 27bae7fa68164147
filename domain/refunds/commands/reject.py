from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from domain import audit, notifications
from domain.access import Actor, Permission
from domain.db import now
from domain.refunds.commands.decision import require_pending
from domain.refunds.models import Alternative, Refund, RefundStatus
from domain.refunds.queries import lock_for_decision


def reject(
    session: Session,
    actor: Actor,
    refund_id: UUID,
    *,
    reason: str,
    admin_notes: str | None = None,
    notify_user: bool = True,
    offer_alternative: str = Alternative.NONE,
    expected_version: int | None = None,
) -> Refund:
    """Reject a pending refund, also one that has its first approval. Raises NotFound, NotPending, Stale."""
    actor.require(Permission.REFUNDS_APPROVE)
    _, refund = lock_for_decision(session, refund_id)
    require_pending(refund, expected_version)
    refund.status = RefundStatus.REJECTED
    refund.rejected_at, refund.rejected_by = now(), actor.admin_id
    refund.decision_reason, refund.offer_alternative = reason, Alternative(offer_alternative)
    if admin_notes is not None:
        refund.admin_notes = admin_notes
    audit.record(
        session,
        actor,
        "refund.rejected",
        refund,
        before={"status": "pending"},
        after={"status": "rejected"},
        reason=reason,
        offer_alternative=str(offer_alternative),
    )
    notifications.request_decision(session, refund, user=notify_user, vendor=False)
    return refund
