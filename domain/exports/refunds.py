from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from domain.exports.cells import Row, major, masked
from domain.exports.request import ExportRequest
from domain.identity.models import Admin
from domain.marketplace.models import Booking, Payment, User, Vendor
from domain.refunds.models import Refund

Columns = TypeVarTuple("Columns")
Approver, Rejecter = aliased(Admin), aliased(Admin)


class Refunds:
    """By when they were requested, narrowed as the queue is."""

    header = tuple(
        """refund_id refund_number status processing_state priority reason description requested_at requested_by
        requested_minor requested approved_minor approved currency approved_at approved_by rejected_at rejected_by decision_reason
        offer_alternative processed_at transaction_id processing_message
        payment_id provider provider_payment_id payment_minor payment
        booking_id booking_number user_id user_name user_email vendor_id vendor_name""".split()
    )

    def keys(self, request: ExportRequest) -> Select[UUID]:
        return narrowed(select(Refund.id), request).order_by(Refund.requested_at.desc(), Refund.id.desc())

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        wanted = (
            narrowed(select(Refund, Approver.name, Rejecter.name, Payment, Booking.booking_number, User, Vendor.name), request)
            .join(Payment, Payment.id == Refund.payment_id)
            .join(Vendor, Vendor.id == Refund.vendor_id)
            .outerjoin(Approver, Approver.id == Refund.approved_by)
            .outerjoin(Rejecter, Rejecter.id == Refund.rejected_by)
            .where(Refund.id.in_(ids))
        )
        rows: dict[UUID, Row] = {}
        for refund, approver, rejecter, payment, booking, user, vendor in session.execute(wanted):
            rows[refund.id] = (
                str(refund.id),
                refund.refund_number,
                refund.status,
                refund.processing_state,
                refund.priority,
                refund.reason,
                refund.description,
                refund.requested_at,
                refund.requested_by,
                refund.requested_amount_cents,
                major(refund.requested_amount_cents, refund.currency),
                refund.approved_amount_cents,
                major(refund.approved_amount_cents, refund.currency),
                refund.currency,
                refund.approved_at,
                approver,
                refund.rejected_at,
                rejecter,
                refund.decision_reason,
                refund.offer_alternative,
                refund.processed_at,
                refund.transaction_id,
                refund.processing_message,
                str(payment.id),
                payment.provider,
                payment.provider_payment_id,
                payment.amount_cents,
                major(payment.amount_cents, payment.currency),
                str(refund.booking_id),
                booking,
                str(user.id),
                user.name,
                user.email if emails else masked(user.email),
                str(refund.vendor_id),
                vendor,
            )
        return rows


def narrowed(rows: Select[*Columns], request: ExportRequest) -> Select[*Columns]:
    rows = rows.join(Booking, Booking.id == Refund.booking_id).join(User, User.id == Refund.user_id)
    rows = rows.where(*request.refunds.conditions())
    return rows.where(Refund.status.in_(request.refunds.status)) if request.refunds.status else rows
