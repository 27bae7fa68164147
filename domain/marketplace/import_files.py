"""The six files of an import, in the order they are read: their columns, what is unique in them, what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from domain.db import Base
from domain.marketplace import cells
from domain.marketplace.csv_files import BadFile, Column, Record, shortened
from domain.marketplace.models import Booking, Payment, PayoutStatus, Provider, Referral, ReferralStatus, User, Vendor
from domain.refunds.models import Priority, ProcessingState, Refund, RefundStatus, Requester

DECIDED_ELSEWHERE = "Approved before it was imported; whoever approved it there also pays it."


@dataclass(frozen=True)
class Source:
    """One import file as it is being read: how it is called, and whether a file it refers to came along."""

    file: str
    missing: Sequence[str]


@dataclass(frozen=True)
class Kind:
    """`complete` checks what a batch of records refers to and adds the columns that follow from it."""

    name: str
    model: type[Base]
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...]
    complete: Callable[[Session, Source, list[Record]], None]

    @property
    def table(self) -> Table:
        return cast(Table, self.model.__table__)

    @property
    def filenames(self) -> tuple[str, str]:
        return f"{self.name}.csv", f"{self.name}.csv.gz"


def nothing_more(session: Session, source: Source, records: list[Record]) -> None:
    """For files that refer to no other."""


def name_vendors_without_email(session: Session, source: Source, records: list[Record]) -> None:
    for record in records:
        record.values.setdefault("email", None)


def check_booking(session: Session, source: Source, records: list[Record]) -> None:
    require(session, source, records, "user_id", User)
    require(session, source, records, "vendor_id", Vendor)


def check_payment(session: Session, source: Source, records: list[Record]) -> None:
    require(session, source, records, "booking_id", Booking)
    for record in records:
        record.values.setdefault("method", None)


def check_referral(session: Session, source: Source, records: list[Record]) -> None:
    require(session, source, records, "referrer_id", User)
    require(session, source, records, "referred_user_id", User)
    for record in records:
        if record.values["referrer_id"] == record.values["referred_user_id"]:
            raise BadFile("it is the referrer; write somebody else's id", file=source.file, line=record.line, column="referred_user_id")


def complete_refund(session: Session, source: Source, records: list[Record]) -> None:
    """User, vendor and currency are the booking's and the payment's."""
    require(session, source, records, "booking_id", Booking)
    require(session, source, records, "payment_id", Payment)
    found = session.execute(
        select(Payment.id, Payment.booking_id, Payment.amount_cents, Payment.currency, Booking.user_id, Booking.vendor_id)
        .join(Booking, Booking.id == Payment.booking_id)
        .where(Payment.id.in_({record.values["payment_id"] for record in records}))
    )
    payments = {row.id: row for row in found}
    for record in records:
        values, payment = record.values, payments[record.values["payment_id"]]
        if values["booking_id"] != payment.booking_id:
            raise BadFile(
                f"the payment is for the booking {payment.booking_id}; write that", file=source.file, line=record.line, column="booking_id"
            )
        if values["requested_amount_cents"] > payment.amount_cents:
            raise BadFile(
                f"{values['requested_amount_cents']} is more than the payment's {payment.amount_cents}; write at most that",
                file=source.file,
                line=record.line,
                column="requested_amount_cents",
            )
        values["evidence"] = values["evidence"] or []
        values |= {"user_id": payment.user_id, "vendor_id": payment.vendor_id, "currency": payment.currency}
        values |= decided_elsewhere(values)


def decided_elsewhere(values: dict[str, Any]) -> dict[str, Any]:
    """What goes with a status that no admin of this portal gave. Without a processing state nothing here ever pays or retries it."""
    status, moment = values["status"], values["requested_at"]
    approved = status in (RefundStatus.APPROVED, RefundStatus.PROCESSED)
    return {
        "approved_amount_cents": values["requested_amount_cents"] if approved else None,
        "approved_at": moment if approved else None,
        "rejected_at": moment if status == RefundStatus.REJECTED else None,
        "processing_state": ProcessingState.DONE if status == RefundStatus.PROCESSED else None,
        "processing_message": DECIDED_ELSEWHERE if status == RefundStatus.APPROVED else None,
    }


def require(session: Session, source: Source, records: list[Record], column: str, model: type[Base]) -> None:
    """Every id in this column is a row by now: of an earlier file or of an earlier import."""
    key = cast(Table, model.__table__).c.id
    wanted: set[UUID] = {record.values[column] for record in records}
    known = set(session.scalars(select(key).where(key.in_(wanted))))
    for record in records:
        if record.values[column] not in known:
            table = model.__tablename__
            places = f"there is no {table}.csv here, and it" if table in source.missing else f"it is not in {table}.csv and"
            raise BadFile(
                f"{shortened(record.values[column])}: {places} is not in the database; write the id of a row of {table}",
                file=source.file,
                line=record.line,
                column=column,
            )


ID = Column("id", cells.identifier)
USERS = Kind(
    "users",
    User,
    (
        ID,
        Column("name", cells.line(300)),
        Column("email", cells.email),
        Column("created_at", cells.moment),
        Column("email_verified_at", cells.moment, nullable=True),
    ),
    (("id",),),
    nothing_more,
)
VENDORS = Kind(
    "vendors",
    Vendor,
    (
        ID,
        Column("name", cells.line(300)),
        Column("created_at", cells.moment),
        Column("email", cells.email, nullable=True, optional=True),
    ),
    (("id",),),
    name_vendors_without_email,
)
BOOKINGS = Kind(
    "bookings",
    Booking,
    (
        ID,
        Column("booking_number", cells.line(50)),
        Column("user_id", cells.identifier),
        Column("vendor_id", cells.identifier),
        Column("status", cells.line(30)),
        Column("created_at", cells.moment),
        Column("scheduled_at", cells.moment, nullable=True),
    ),
    (("id",), ("booking_number",)),
    check_booking,
)
PAYMENTS = Kind(
    "payments",
    Payment,
    (
        ID,
        Column("booking_id", cells.identifier),
        Column("amount_cents", cells.cents(0)),
        Column("currency", cells.currency),
        Column("status", cells.line(30)),
        Column("paid_at", cells.moment, nullable=True),
        Column("provider", cells.one_of(Provider)),
        Column("provider_payment_id", cells.line(255)),
        Column("method", cells.line(100), nullable=True, optional=True),
    ),
    (("id",), ("provider", "provider_payment_id")),
    check_payment,
)
REFUNDS = Kind(
    "refund_requests",
    Refund,
    (
        ID,
        Column("refund_number", cells.line(50)),
        Column("payment_id", cells.identifier),
        Column("booking_id", cells.identifier),
        Column("status", cells.one_of(RefundStatus)),
        Column("requested_amount_cents", cells.cents(1)),
        Column("reason", cells.line(100), nullable=True),
        Column("description", cells.text(20_000), nullable=True),
        Column("evidence", cells.evidence, nullable=True),
        Column("requested_at", cells.moment),
        Column("requested_by", cells.one_of(Requester)),
        Column("priority", cells.one_of(Priority)),
    ),
    (("id",), ("refund_number",)),
    complete_refund,
)
REFERRALS = Kind(
    "referrals",
    Referral,
    (
        ID,
        Column("referrer_id", cells.identifier),
        Column("referred_user_id", cells.identifier),
        Column("referral_code", cells.line(50), nullable=True),
        Column("status", cells.one_of(ReferralStatus)),
        Column("payout_status", cells.one_of(PayoutStatus)),
        Column("reward_amount_cents", cells.cents(0)),
        Column("currency", cells.currency),
        Column("created_at", cells.moment),
        Column("expires_at", cells.moment, nullable=True),
        Column("credited_at", cells.moment, nullable=True),
        Column("signup", cells.boolean),
        Column("email_verified", cells.boolean),
        Column("first_booking", cells.boolean),
        Column("minimum_spend", cells.boolean),
    ),
    (("id",),),
    check_referral,
)
KINDS = (USERS, VENDORS, BOOKINGS, PAYMENTS, REFUNDS, REFERRALS)
