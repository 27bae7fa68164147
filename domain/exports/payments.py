from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from domain.exports.cells import Row, major, masked
from domain.exports.request import ExportRequest
from domain.marketplace.models import Booking, Payment, User, Vendor
from domain.refunds.models import ExternalRefund, ProcessingState, Refund, RefundStatus
from domain.refunds.queries import made_elsewhere


class Payments:
    """By when they were paid, each with what was given back of it. Those never paid have no day: only an export of all days holds them."""

    header = tuple(
        """payment_id provider provider_payment_id method status paid_at amount_minor amount refunded_minor refunded net_minor net currency
        booking_id booking_number booking_status user_id user_name user_email vendor_id vendor_name""".split()
    )

    def keys(self, request: ExportRequest) -> Select[UUID]:
        return select(Payment.id).where(*within(request)).order_by(Payment.paid_at.desc().nulls_last(), Payment.id.desc())

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        found = session.execute(
            select(
                Payment.id,
                Payment.provider,
                Payment.provider_payment_id,
                Payment.method,
                Payment.status,
                Payment.paid_at,
                Payment.amount_cents,
                Payment.currency,
                Booking.id,
                Booking.booking_number,
                Booking.status,
                User.id,
                User.name,
                User.email,
                Vendor.id,
                Vendor.name,
            )
            .join(Booking, Booking.id == Payment.booking_id)
            .join(User, User.id == Booking.user_id)
            .join(Vendor, Vendor.id == Booking.vendor_id)
            .where(Payment.id.in_(ids))
        )
        given_back = refunded(session, ids)
        rows: dict[UUID, Row] = {}
        for id, provider, reference, method, status, paid_at, cents, currency, *rest in found.all():
            back = given_back.get(id, 0)
            amounts = (cents, major(cents, currency), back, major(back, currency), cents - back, major(cents - back, currency), currency)
            booking_id, booking, booking_status, user_id, user, email, vendor_id, vendor = rest
            who = (str(user_id), user, email if emails else masked(email), str(vendor_id), vendor)
            rows[id] = (
                *(str(id), provider, reference, method, status, paid_at),
                *amounts,
                *(str(booking_id), booking, booking_status),
                *who,
            )
        return rows


def within(request: ExportRequest) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if request.from_ is not None:
        found.append(Payment.paid_at >= request.from_)
    if request.before is not None:
        found.append(Payment.paid_at < request.before)
    return found


def refunded(session: Session, ids: Sequence[UUID]) -> dict[UUID, int]:
    """What was given back of each payment: by refunds decided here that did not fail, and by those made at the gateway itself."""
    decided = (
        select(Refund.payment_id, func.sum(Refund.approved_amount_cents))
        .where(
            Refund.payment_id.in_(ids),
            Refund.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED)),
            or_(Refund.processing_state.is_(None), Refund.processing_state != ProcessingState.FAILED),
        )
        .group_by(Refund.payment_id)
    )
    elsewhere = (
        select(ExternalRefund.payment_id, func.sum(ExternalRefund.amount_cents))
        .where(ExternalRefund.payment_id.in_(ids), made_elsewhere())
        .group_by(ExternalRefund.payment_id)
    )
    sums: dict[UUID, int] = {}
    for statement in (decided, elsewhere):
        for payment_id, total in session.execute(statement).all():
            sums[payment_id] = sums.get(payment_id, 0) + int(total or 0)
    return sums
