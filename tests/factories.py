"""Rows for tests: name only the facts that matter, the rest is made up. Each is added and flushed, not committed."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.orm import Session

from domain.access import Actor
from domain.db import Base, now
from domain.identity.models import Admin
from domain.marketplace.models import Booking, Payment, Provider, User, Vendor
from domain.refunds.models import Refund, Requester
from domain.roles.models import Role

Row = TypeVar("Row", bound=Base)

numbers = count(1)


def make_role(session: Session, *permissions: str, **facts: Any) -> Role:
    number = next(numbers)
    defaults = {"id": f"role_{number}", "name": f"Role {number}", "description": "Made for a test"}
    return added(session, Role(**{**defaults, "permissions": [str(permission) for permission in permissions], **facts}))


def make_admin(session: Session, *permissions: str, **facts: Any) -> Admin:
    """An admin with a role of exactly these permissions, or the `role` named. No password opens their account."""
    role = facts.pop("role", None) or make_role(session, *permissions)
    number = next(numbers)
    defaults = {"email": f"admin{number}@example.com", "name": f"Admin {number}", "password_hash": "!"}
    return added(session, Admin(**{**defaults, "role": role, **facts}))


def actor_of(admin: Admin, **facts: Any) -> Actor:
    """The actor that this admin is when signed in, with a fresh second factor; `mfa_at=None` takes it away."""
    actor = Actor(
        admin_id=admin.id,
        name=admin.name,
        permissions=frozenset(admin.role.permissions),
        email=admin.email,
        role_id=admin.role_id,
        role_name=admin.role.name,
        mfa_enrolled=True,
        mfa_at=now(),
    )
    return replace(actor, **facts)


def make_actor(session: Session, *permissions: str, **facts: Any) -> Actor:
    return actor_of(make_admin(session, *permissions), **facts)


def make_user(session: Session, **facts: Any) -> User:
    number = next(numbers)
    defaults = {"name": f"Customer {number}", "email": f"customer{number}@example.com", "created_at": now()}
    return added(session, User(**{**defaults, **facts}))


def make_vendor(session: Session, **facts: Any) -> Vendor:
    number = next(numbers)
    defaults = {"name": f"Vendor {number}", "email": f"vendor{number}@example.com", "created_at": now()}
    return added(session, Vendor(**{**defaults, **facts}))


def make_booking(session: Session, **facts: Any) -> Booking:
    defaults = {"booking_number": f"BK-{next(numbers):06}", "status": "completed", "created_at": now() - timedelta(days=3)}
    for name, make in (("user", make_user), ("vendor", make_vendor)):
        facts[name] = facts.get(name) or make(session)
    return added(session, Booking(**{**defaults, **facts}))


def make_payment(session: Session, **facts: Any) -> Payment:
    defaults = {
        "amount_cents": 50_000,
        "currency": "INR",
        "status": "captured",
        "paid_at": now() - timedelta(days=2),
        "provider": Provider.SANDBOX,
        "provider_payment_id": f"pay_{uuid4().hex}",
    }
    facts["booking"] = facts.get("booking") or make_booking(session)
    return added(session, Payment(**{**defaults, **facts}))


def make_refund(session: Session, **facts: Any) -> Refund:
    """A pending refund request for all of its payment; `payment=` for one of a payment that exists already."""
    payment = facts.pop("payment", None)
    if payment is None:
        asked = {"amount_cents": facts.get("requested_amount_cents"), "currency": facts.get("currency")}
        payment = make_payment(session, **{name: value for name, value in asked.items() if value is not None})
    booking = payment.booking
    defaults = {
        "refund_number": f"RF-{next(numbers):06}",
        "payment": payment,
        "booking": booking,
        "user": booking.user,
        "vendor": booking.vendor,
        "currency": payment.currency,
        "requested_amount_cents": payment.amount_cents,
        "requested_at": now() - timedelta(hours=1),
        "requested_by": Requester.USER,
        "reason": "no_show",
        "description": "Nobody came to the appointment.",
    }
    return added(session, Refund(**{**defaults, **facts}))


def added(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row
