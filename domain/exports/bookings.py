from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from domain.exports.cells import Row, major, masked
from domain.exports.request import ExportRequest
from domain.marketplace.models import Booking, Payment, User, Vendor


class Bookings:
    """By when they were made, each with the money that has come in for it."""

    header = tuple(
        """booking_id booking_number status created_at scheduled_at payments paid_minor paid currency
        user_id user_name user_email vendor_id vendor_name vendor_email""".split()
    )

    def keys(self, request: ExportRequest) -> Select[UUID]:
        return select(Booking.id).where(*within(request)).order_by(Booking.created_at.desc(), Booking.id.desc())

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        found = session.execute(
            select(
                Booking.id,
                Booking.booking_number,
                Booking.status,
                Booking.created_at,
                Booking.scheduled_at,
                User.id,
                User.name,
                User.email,
                Vendor.id,
                Vendor.name,
                Vendor.email,
            )
            .join(User, User.id == Booking.user_id)
            .join(Vendor, Vendor.id == Booking.vendor_id)
            .where(Booking.id.in_(ids))
        )
        money = paid(session, ids)
        show = str if emails else masked
        rows: dict[UUID, Row] = {}
        for id, number, status, created, scheduled, user_id, user, user_email, vendor_id, vendor, vendor_email in found:
            who = (str(user_id), user, show(user_email), str(vendor_id), vendor, vendor_email and show(vendor_email))
            rows[id] = (str(id), number, status, created, scheduled, *money.get(id, (0, 0, None, None)), *who)
        return rows


def within(request: ExportRequest) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if request.from_ is not None:
        found.append(Booking.created_at >= request.from_)
    if request.before is not None:
        found.append(Booking.created_at < request.before)
    return found


def paid(session: Session, ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Number and sum of each booking's captured payments. Sums of two currencies are not one sum: then only the currencies are named."""
    sums: dict[UUID, list[tuple[str, int, int]]] = {}
    captured = (
        select(Payment.booking_id, Payment.currency, func.count(), func.sum(Payment.amount_cents))
        .where(Payment.booking_id.in_(ids), Payment.status == "captured")
        .group_by(Payment.booking_id, Payment.currency)
        .order_by(Payment.currency)
    )
    for booking_id, currency, count, total in session.execute(captured):
        sums.setdefault(booking_id, []).append((currency, count, int(total)))
    return {booking_id: summed(each) for booking_id, each in sums.items()}


def summed(each: list[tuple[str, int, int]]) -> Row:
    count = sum(row[1] for row in each)
    if len(each) > 1:
        return count, None, None, " + ".join(row[0] for row in each)
    [(currency, _, total)] = each
    return count, total, major(total, currency), currency
