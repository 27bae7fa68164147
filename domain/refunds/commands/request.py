from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session, joinedload

from domain import audit
from domain.access import Actor, Permission
from domain.db import now
from domain.errors import Invalid
from domain.jobs.commands import Holder
from domain.marketplace.models import Booking
from domain.refunds.commands.decision import AmountNotRefundable, Decision, say_yes
from domain.refunds.models import Priority, Refund, RefundNumber, RefundStatus, Requester
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import lock_payment, money_box


def refund_payment(
    session: Session,
    actor: Actor,
    policy: RefundPolicy,
    payment_id: UUID,
    *,
    reason: str,
    amount_cents: int | None = None,
    notify_user: bool = True,
    holder: Holder | None = None,
) -> Decision:
    """Make a refund request for a payment; it counts as its maker's approval and takes the path of every other refund.

    `amount_cents` defaults to what is left of the payment. Above the limit it waits, pending, for a second admin. Raises NotFound,
    Invalid, AmountNotRefundable, MfaRequired.
    """
    actor.require(Permission.PAYMENTS_REFUND)
    payment = lock_payment(session, payment_id)
    left = money_box(session, payment, policy).refundable_cents
    amount = left if amount_cents is None else amount_cents
    if amount_cents is None and left == 0:
        raise AmountNotRefundable("Nothing is left of this payment to refund.", refundable_cents=0)
    if amount < 1:
        raise Invalid("Refund at least 1 (minor units of the payment's currency).", field="amount_cents")
    booking = session.scalars(
        select(Booking).where(Booking.id == payment.booking_id).options(joinedload(Booking.user), joinedload(Booking.vendor))
    ).one()
    refund = Refund(
        refund_number=next_number(session),
        payment_id=payment.id,
        booking_id=booking.id,
        user_id=booking.user_id,
        vendor_id=booking.vendor_id,
        currency=payment.currency,
        status=RefundStatus.PENDING,
        requested_amount_cents=amount,
        reason="admin_request",
        description=reason,
        evidence=[],
        requested_at=now(),
        requested_by=Requester.ADMIN,
        requested_by_admin_id=actor.admin_id,
        priority=Priority.NORMAL,
    )
    refund.payment, refund.booking, refund.user, refund.vendor = payment, booking, booking.user, booking.vendor
    session.add(refund)
    session.flush()
    audit.record(session, actor, "refund.requested", refund, after={"status": "pending"}, amount_cents=amount, currency=payment.currency)
    return say_yes(
        session,
        actor,
        policy,
        payment,
        refund,
        amount_cents=amount,
        reason=reason,
        admin_notes=None,
        notify_user=notify_user,
        notify_vendor=False,
        holder=holder,
    )


def next_number(session: Session) -> str:
    """The next RF-YYYY-NNNNNN of this year. The counter's row is locked until the commit, so none is given twice."""
    year = now().year
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    highest = session.scalar(select(func.max(Refund.refund_number)).where(Refund.refund_number.like(f"RF-{year}-______"))) or ""
    start = int(highest[-6:]) if highest[-6:].isdigit() else 0
    taken = insert(RefundNumber).values(year=year, last=start + 1)
    last = session.execute(
        taken.on_conflict_do_update(index_elements=["year"], set_={"last": RefundNumber.last + 1}).returning(RefundNumber.last)
    ).scalar_one()
    return f"RF-{year}-{last:06d}"
