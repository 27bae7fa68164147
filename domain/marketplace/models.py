from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.db import Cents, Currency, Identified, LongText, Timestamp


class User(Identified):
    """A customer."""

    __tablename__ = "users"

    name: Mapped[LongText]
    email: Mapped[LongText]
    created_at: Mapped[Timestamp]
    email_verified_at: Mapped[Timestamp | None]


class Vendor(Identified):
    """Who provides the service. Some have no e-mail address on file."""

    __tablename__ = "vendors"

    name: Mapped[LongText]
    email: Mapped[LongText | None]
    created_at: Mapped[Timestamp]


class Booking(Identified):
    __tablename__ = "bookings"

    booking_number: Mapped[str] = mapped_column(String(50), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("vendors.id"), index=True)
    status: Mapped[str] = mapped_column(String(30))
    created_at: Mapped[Timestamp]
    scheduled_at: Mapped[Timestamp | None]

    user: Mapped[User] = relationship(lazy="raise")
    vendor: Mapped[Vendor] = relationship(lazy="raise")


class Provider(StrEnum):
    """Which gateway took a payment, and so which one refunds it."""

    SANDBOX = "sandbox"
    STRIPE = "stripe"
    RAZORPAY = "razorpay"


class Payment(Identified):
    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount_cents >= 0", name="amount_not_negative"),
        CheckConstraint("provider IN ('sandbox', 'stripe', 'razorpay')", name="provider_known"),
        UniqueConstraint("provider", "provider_payment_id"),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("bookings.id"), index=True)
    amount_cents: Mapped[Cents]
    currency: Mapped[Currency]
    status: Mapped[str] = mapped_column(String(30))
    paid_at: Mapped[Timestamp | None]
    provider: Mapped[str] = mapped_column(String(20))
    provider_payment_id: Mapped[str] = mapped_column(String(255))
    method: Mapped[str | None] = mapped_column(String(100))

    booking: Mapped[Booking] = relationship(lazy="raise")

    @property
    def captured(self) -> bool:
        """Whether the money has arrived: no gateway refunds a payment before."""
        return self.status == "captured"


class ReferralStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    EXPIRED = "expired"


class PayoutStatus(StrEnum):
    NOT_DUE = "not_due"
    SCHEDULED = "scheduled"
    PAID = "paid"
    FAILED = "failed"
    REVERSED = "reversed"


class Referral(Identified):
    """One customer brought by another: pending until each condition is met, then completed; or expired."""

    __tablename__ = "referrals"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'completed', 'expired')", name="status_known"),
        CheckConstraint("payout_status IN ('not_due', 'scheduled', 'paid', 'failed', 'reversed')", name="payout_status_known"),
        CheckConstraint("reward_amount_cents >= 0", name="reward_not_negative"),
        Index("ix_referrals_status_created_at", "status", "created_at", "id"),
        Index("ix_referrals_created_at_id", "created_at", "id"),
        Index("ix_referrals_referrer_id_created_at", "referrer_id", "created_at", "id"),
        Index("ix_referrals_same_email", "created_at", "id", sqlite_where=text("same_email = 1"), postgresql_where=text("same_email")),
        Index("ix_referrals_same_name", "created_at", "id", sqlite_where=text("same_name = 1"), postgresql_where=text("same_name")),
        Index("ix_referrals_counts", "status", "expires_at", "payout_status", "currency", "reward_amount_cents"),
    )

    referrer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    referred_user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    referral_code: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(20))
    payout_status: Mapped[str] = mapped_column(String(20))
    reward_amount_cents: Mapped[Cents]
    currency: Mapped[Currency]
    created_at: Mapped[Timestamp]
    expires_at: Mapped[Timestamp | None]
    credited_at: Mapped[Timestamp | None]
    signup: Mapped[bool]
    email_verified: Mapped[bool]
    first_booking: Mapped[bool]
    minimum_spend: Mapped[bool]
    # Both accounts look like one person. Triggers keep these, whoever writes the rows: migrations/versions/0017_*.py
    same_email: Mapped[bool] = mapped_column(server_default=false())
    same_name: Mapped[bool] = mapped_column(server_default=false())

    referrer: Mapped[User] = relationship(lazy="raise", foreign_keys=[referrer_id])
    referred_user: Mapped[User] = relationship(lazy="raise", foreign_keys=[referred_user_id])
