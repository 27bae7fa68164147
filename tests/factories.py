"""Rows for tests: name only the fields that matter, the rest is sensible. Each is flushed, none is committed."""

from datetime import timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.orm import Session, object_session

from domain.access import Actor
from domain.db import now
from domain.identity.models import Admin, Invitation
from domain.jobs.models import Job, JobStatus
from domain.marketplace.models import Booking, Payment, PayoutStatus, Provider, Referral, ReferralStatus, User, Vendor
from domain.refunds.models import ProcessingState, Refund, RefundStatus, Requester
from domain.restores.models import Kind, Restore
from domain.roles.models import Role

Row = TypeVar("Row")
serial = count(1)


def make_role(session: Session, *permissions: str, **fields: Any) -> Role:
    """A custom role with exactly these permissions."""
    number = next(serial)
    defaults = {"id": f"custom_{number}", "name": f"Custom {number}", "description": "Made for a test"}
    return added(session, Role(**{**defaults, "permissions": [str(permission) for permission in permissions], **fields}))


def make_admin(session: Session, *permissions: str, role: str | Role | None = None, **fields: Any) -> Admin:
    """An admin with a role of exactly these permissions, or the `role` named; with neither, a finance admin.

    No password opens the account: give `password_hash` where one must.
    """
    if permissions:
        role = make_role(session, *permissions)
    if not isinstance(role, Role):
        role = session.get_one(Role, role or "finance_admin")
    number = next(serial)
    defaults = {"email": f"admin{number}@example.com", "name": f"Admin {number}", "password_hash": "!"}
    return added(session, Admin(**{**defaults, "role": role, **fields}))


def make_invitation(session: Session, **fields: Any) -> Invitation:
    """An open invitation of a support agent, whose link nobody has."""
    number = next(serial)
    defaults = {"email": f"invited{number}@example.com", "name": f"Invited {number}", "role_id": "support_agent"}
    secrets = {"nonce": uuid4().hex, "token_hash": uuid4().hex, "expires_at": now() + timedelta(days=3)}
    return added(session, Invitation(**{**defaults, **secrets, **fields}))


def actor_for(admin: Admin, mfa: bool = False, **fields: Any) -> Actor:
    """The admin at work, with what the role in the database allows; `mfa`: a second factor was given just now."""
    session = object_session(admin)
    assert session is not None, "the admin was not added to a session"
    role = session.get_one(Role, admin.role_id)
    facts = {
        "admin_id": admin.id,
        "name": admin.name,
        "email": admin.email,
        "permissions": frozenset(role.permissions),
        "role_id": role.id,
        "role_name": role.name,
        "mfa_enrolled": mfa or admin.mfa_enrolled,
        "mfa_at": now() if mfa else None,
        "ip": "127.0.0.1",
        "user_agent": "tests",
        "request_id": f"test-{next(serial)}",
    }
    return Actor(**{**facts, **fields})


def actor_of(admin: Admin, **fields: Any) -> Actor:
    """`actor_for` somebody whose second factor is fresh."""
    return actor_for(admin, mfa=True, **fields)


def make_actor(session: Session, *permissions: str, **fields: Any) -> Actor:
    """A new admin with exactly these permissions and a fresh second factor, at work."""
    return actor_of(make_admin(session, *permissions), **fields)


def make_user(session: Session, **fields: Any) -> User:
    number = next(serial)
    defaults = {"name": f"Asha Rao {number}", "email": f"user{number}@example.com", "created_at": now() - timedelta(days=90)}
    return added(session, User(**{**defaults, **fields}))


def make_vendor(session: Session, **fields: Any) -> Vendor:
    number = next(serial)
    defaults = {"name": f"Spark Cleaning {number}", "email": f"vendor{number}@example.com", "created_at": now() - timedelta(days=400)}
    return added(session, Vendor(**{**defaults, **fields}))


def make_booking(session: Session, user: User | None = None, vendor: Vendor | None = None, **fields: Any) -> Booking:
    user, vendor = user or make_user(session), vendor or make_vendor(session)
    defaults = {
        "booking_number": f"BK-2024-{next(serial):06d}",
        "user": user,
        "vendor": vendor,
        "status": "completed",
        "created_at": now() - timedelta(days=10),
        "scheduled_at": now() - timedelta(days=3),
    }
    return added(session, Booking(**{**defaults, **fields}))


def make_payment(session: Session, booking: Booking | None = None, **fields: Any) -> Payment:
    """A captured payment of INR 1,000.00 at the sandbox gateway."""
    booking = booking or make_booking(session)
    defaults = {
        "booking": booking,
        "amount_cents": 100_000,
        "currency": "INR",
        "status": "captured",
        "paid_at": now() - timedelta(days=9),
        "provider": Provider.SANDBOX,
        "provider_payment_id": f"pay_{uuid4().hex}",
        "method": "card",
    }
    return added(session, Payment(**{**defaults, **fields}))


def make_refund(session: Session, payment: Payment | None = None, **fields: Any) -> Refund:
    """A pending request for a whole payment. For one already decided name its `status`: what the database then wants is filled in."""
    if payment is None:
        asked = {"amount_cents": fields.get("requested_amount_cents"), "currency": fields.get("currency")}
        payment = make_payment(session, **{name: value for name, value in asked.items() if value is not None})
    booking = session.get_one(Booking, payment.booking_id)
    defaults = {
        # A year that is over: commands number what they make in the present one.
        "refund_number": f"RF-2024-{next(serial):06d}",
        "payment": payment,
        "booking": booking,
        "user": session.get_one(User, booking.user_id),
        "vendor": session.get_one(Vendor, booking.vendor_id),
        "currency": payment.currency,
        "requested_amount_cents": payment.amount_cents,
        "reason": "service_not_rendered",
        "description": "Nobody came.",
        "evidence": [],
        "requested_at": now() - timedelta(hours=1),
        "requested_by": Requester.USER,
    }
    return added(session, Refund(**{**defaults, **decided({**defaults, **fields}), **fields}))


def decided(fields: dict[str, Any]) -> dict[str, Any]:
    status = fields.get("status", RefundStatus.PENDING)
    if status == RefundStatus.REJECTED:
        return {"rejected_at": now()}
    if status in (RefundStatus.APPROVED, RefundStatus.PROCESSED):
        final = status == RefundStatus.PROCESSED
        return {
            "approved_amount_cents": fields["requested_amount_cents"],
            "approved_at": now(),
            "processing_state": ProcessingState.DONE if final else ProcessingState.QUEUED,
            "processed_at": now() if final else None,
        }
    return {}


def make_referral(session: Session, **fields: Any) -> Referral:
    """A pending referral; its two users are made unless given as `referrer_id` and `referred_user_id`."""
    defaults = {
        "referral_code": f"CODE{next(serial)}",
        "status": ReferralStatus.PENDING,
        "payout_status": PayoutStatus.NOT_DUE,
        "reward_amount_cents": 50_000,
        "currency": "INR",
        "created_at": now() - timedelta(days=2),
        "expires_at": now() + timedelta(days=28),
        "signup": True,
        "email_verified": False,
        "first_booking": False,
        "minimum_spend": False,
    }
    for side in ("referrer_id", "referred_user_id"):
        if side not in fields:
            defaults[side] = make_user(session).id
    return added(session, Referral(**{**defaults, **fields}))


def make_job(session: Session, **fields: Any) -> Job:
    """A pending clean-up of the system's. For one further on name its `status`: what goes with it is filled in."""
    moment = now()
    status = fields.get("status", JobStatus.PENDING)
    defaults: dict[str, Any] = {"type": "cleanup", "payload": {}, "created_at": moment - timedelta(minutes=5), "run_after": moment}
    if status != JobStatus.PENDING:
        defaults |= {"started_at": moment - timedelta(minutes=4), "attempts": 1}
    if status == JobStatus.PROCESSING:
        defaults |= {"lease_owner": "tests", "lease_until": moment + timedelta(hours=1)}
    if status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
        defaults["finished_at"] = moment - timedelta(minutes=3)
    if status == JobStatus.FAILED:
        defaults["error"] = {"code": "WORKER_LOST", "message": "The worker was lost each time it ran this job."}
    if status == JobStatus.CANCELLED:
        defaults |= {"cancelled_at": moment - timedelta(minutes=3), "cancel_acknowledged_at": moment - timedelta(minutes=3)}
    return added(session, Job(**{**defaults, **fields}))


def added(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row


def make_restore(session: Session, **fields: Any) -> Restore:
    """A restore of an hour ago that was compared with the gateways and acknowledged."""
    moment = now() - timedelta(hours=1)
    report: dict[str, Any] = {"agrees": 0, "taken_over": 0, "nothing_found": 0, "differs": 0, "uncertain": 0, "looked_at": 0, "refunds": []}
    defaults = {
        "kind": Kind.RESTORE,
        "backup_id": uuid4(),
        "reached_at": moment - timedelta(days=1),
        "requested_by": "Asha Rao",
        "started_at": moment - timedelta(minutes=2),
        "swapped_at": moment,
        "carried": {"refunds": 0, "rows": {}},
        "left_out": 0,
        "kept_until": moment + timedelta(hours=72),
        "report": report,
        "checked_at": moment,
        "acknowledged_at": moment,
        "acknowledged_by": "Asha Rao",
    }
    return added(session, Restore(**{**defaults, **fields}))
