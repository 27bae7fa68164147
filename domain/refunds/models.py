from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.db import Base, Cents, Currency, Identified, JsonList, JsonObject, LongText, Timestamp, now
from domain.identity.models import Admin
from domain.marketplace.models import Booking, Payment, User, Vendor


class RefundStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    PROCESSED = "processed"


class ProcessingState(StrEnum):
    QUEUED = "queued"
    ASKING = "asking"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"


class Requester(StrEnum):
    USER = "user"
    VENDOR = "vendor"
    ADMIN = "admin"
    SYSTEM = "system"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Alternative(StrEnum):
    """What the customer is offered in place of a rejected refund."""

    NONE = "none"
    PARTIAL_CREDIT = "partial_credit"
    FULL_CREDIT = "full_credit"
    REBOOKING = "rebooking"
    DISCOUNT = "discount"


def one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class Refund(Identified):
    __tablename__ = "refund_requests"
    __table_args__ = (
        CheckConstraint(one_of("status", RefundStatus), name="status_known"),
        CheckConstraint(f"processing_state IS NULL OR {one_of('processing_state', ProcessingState)}", name="processing_state_known"),
        CheckConstraint(one_of("requested_by", Requester), name="requester_known"),
        CheckConstraint(one_of("priority", Priority), name="priority_known"),
        CheckConstraint("requested_amount_cents > 0", name="requested_positive"),
        CheckConstraint(
            "approved_amount_cents IS NULL OR approved_amount_cents BETWEEN 1 AND requested_amount_cents", name="approved_within_requested"
        ),
        CheckConstraint("status NOT IN ('approved', 'processed') OR approved_amount_cents IS NOT NULL", name="approved_has_amount"),
        Index("ix_refund_requests_queue", "status", "requested_at", "id"),
        Index("ix_refund_requests_requested_at_id", "requested_at", "id"),
        Index("ix_refund_requests_user_id_requested_at", "user_id", "requested_at", "id"),
        Index("ix_refund_requests_vendor_id_requested_at", "vendor_id", "requested_at", "id"),
        Index("ix_refund_requests_counts", "status", "currency", "processing_state", "requested_amount_cents"),
        Index("ix_refund_requests_processing_state", "processing_state", "status"),
        Index("ix_refund_requests_waiting", "status", "currency", "requested_at", "requested_amount_cents"),
        Index("ix_refund_requests_approved_at", "approved_at"),
        Index("ix_refund_requests_rejected_at", "rejected_at"),
        Index("ix_refund_requests_processed_at", "processed_at"),
    )

    refund_number: Mapped[str] = mapped_column(String(50), unique=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("bookings.id"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("vendors.id"))
    currency: Mapped[Currency]
    status: Mapped[str] = mapped_column(String(20), default=RefundStatus.PENDING)
    requested_amount_cents: Mapped[Cents]
    approved_amount_cents: Mapped[Cents | None]
    reason: Mapped[str | None] = mapped_column(String(100))
    description: Mapped[LongText | None]
    evidence: Mapped[JsonList] = mapped_column(default=list)
    requested_at: Mapped[Timestamp]
    requested_by: Mapped[str] = mapped_column(String(20))
    requested_by_admin_id: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))
    priority: Mapped[str] = mapped_column(String(20), default=Priority.NORMAL)
    admin_notes: Mapped[LongText | None]
    decision_reason: Mapped[LongText | None]
    approved_at: Mapped[Timestamp | None]
    approved_by: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))
    rejected_at: Mapped[Timestamp | None]
    rejected_by: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))
    offer_alternative: Mapped[str | None] = mapped_column(String(20))
    processing_state: Mapped[str | None] = mapped_column(String(20))
    processing_message: Mapped[LongText | None]
    transaction_id: Mapped[str | None] = mapped_column(String(255))
    processed_at: Mapped[Timestamp | None]
    updated_at: Mapped[Timestamp] = mapped_column(default=now, onupdate=now)
    version: Mapped[int] = mapped_column(default=1)

    payment: Mapped[Payment] = relationship(lazy="raise")
    booking: Mapped[Booking] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")
    vendor: Mapped[Vendor] = relationship(lazy="raise")

    __mapper_args__ = {"version_id_col": version}

    @property
    def awaiting_decision(self) -> bool:
        return self.status == RefundStatus.PENDING

    @property
    def decided_for(self) -> bool:
        """Approved, whatever has become of the money since."""
        return self.status in (RefundStatus.APPROVED, RefundStatus.PROCESSED)

    @property
    def needs_attention(self) -> bool:
        return self.processing_state == ProcessingState.FAILED

    @property
    def refund_processed(self) -> bool:
        """Whether the gateway has taken it."""
        return self.processing_state in (ProcessingState.ACCEPTED, ProcessingState.DONE)


class RefundApproval(Identified):
    """One admin's yes to one amount. It lapses after 72 hours where a second one is needed and does not come."""

    __tablename__ = "refund_approvals"
    __table_args__ = (
        CheckConstraint("amount_cents > 0", name="amount_positive"),
        Index("ix_refund_approvals_created_at", "created_at"),
    )

    refund_id: Mapped[UUID] = mapped_column(ForeignKey("refund_requests.id"), index=True)
    admin_id: Mapped[UUID] = mapped_column(ForeignKey("admin_users.id"))
    amount_cents: Mapped[Cents]
    reason: Mapped[LongText]
    created_at: Mapped[Timestamp] = mapped_column(default=now)

    admin: Mapped[Admin] = relationship(lazy="raise")


class AttemptState(StrEnum):
    QUEUED = "queued"  # certainly not taken: its bytes may go out (again)
    ASKING = "asking"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"


class RefundAttempt(Identified):
    """One order to a gateway, committed before it is sent: the exact bytes and the key they go out under.

    The number rises only after a proven failure, so at most one attempt of a refund can ever have moved money:
    the partial unique index says the same to the database.
    """

    __tablename__ = "refund_attempts"
    __table_args__ = (
        CheckConstraint(one_of("state", AttemptState), name="state_known"),
        CheckConstraint("amount_cents > 0", name="amount_positive"),
        UniqueConstraint("refund_id", "number"),
        UniqueConstraint("gateway", "gateway_key"),
        UniqueConstraint("gateway", "gateway_refund_id"),
        Index(
            "uq_refund_attempts_one_active",
            "refund_id",
            unique=True,
            sqlite_where=text("state <> 'failed'"),
            postgresql_where=text("state <> 'failed'"),
        ),
        Index("ix_refund_attempts_state_next_check_at", "state", "next_check_at"),
    )

    refund_id: Mapped[UUID] = mapped_column(ForeignKey("refund_requests.id"))
    number: Mapped[int]
    gateway: Mapped[str] = mapped_column(String(20))
    gateway_key: Mapped[str] = mapped_column(String(100))
    provider_payment_id: Mapped[str] = mapped_column(String(255))
    amount_cents: Mapped[Cents]
    currency: Mapped[Currency]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(20), default=AttemptState.ASKING)
    call_id: Mapped[UUID | None]  # whose answer may be written: a caller that was overtaken finds another id here
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    last_sent_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    gateway_refund_id: Mapped[str | None] = mapped_column(String(255))
    reference: Mapped[str | None] = mapped_column(String(255))  # the bank's number (ARN, RRN, UTR), where the gateway tells one
    error_code: Mapped[str | None] = mapped_column(String(100))
    message: Mapped[LongText | None]
    checks: Mapped[int] = mapped_column(default=0)
    next_check_at: Mapped[Timestamp | None]


class ExternalRefund(Identified):
    """Money given back at the gateway that no refund of ours ordered; it lowers what is left of the payment."""

    __tablename__ = "external_refunds"
    __table_args__ = (UniqueConstraint("gateway", "gateway_refund_id"),)

    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    gateway: Mapped[str] = mapped_column(String(20))
    gateway_refund_id: Mapped[str] = mapped_column(String(255))
    amount_cents: Mapped[Cents]
    currency: Mapped[Currency]
    failed: Mapped[bool] = mapped_column(default=False)
    seen_at: Mapped[Timestamp] = mapped_column(default=now)


class GatewayEvent(Identified):
    """A webhook that was taken, so that a second delivery of it changes nothing."""

    __tablename__ = "gateway_events"
    __table_args__ = (UniqueConstraint("gateway", "event_id"),)

    gateway: Mapped[str] = mapped_column(String(20))
    event_id: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(100))
    payload: Mapped[JsonObject]
    received_at: Mapped[Timestamp] = mapped_column(default=now)


class RefundNumber(Base):
    """The last refund number given out in each year, so that two admins never get the same."""

    __tablename__ = "refund_numbers"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]
