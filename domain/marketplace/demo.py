"""The demo: a marketplace made up from nothing, to try the portal on. It never mixes with anybody's real records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.audit.models import AuditEntry
from domain.db import Base, now
from domain.errors import Conflict
from domain.identity import admins
from domain.identity.mfa import Sealer
from domain.identity.models import Admin
from domain.identity.passwords import Passwords
from domain.jobs.models import Job
from domain.marketplace.demo_jobs import History
from domain.marketplace.demo_referrals import Referrals
from domain.marketplace.demo_refunds import Requesters, Requests
from domain.marketplace.demo_trade import Traders
from domain.marketplace.models import Booking, Payment, User, Vendor
from domain.refunds.gateway import Gateway, Pending, Processed
from domain.refunds.models import Refund, RefundNumber
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import order_of

SEED = 20_250_131
LOADED = "data.demo_loaded"
FEWEST = 50


class NotEmpty(Conflict):
    code = "NOT_EMPTY"


@dataclass(frozen=True)
class SignIn:
    """Known to everybody who reads this file: for trying the portal, never for production."""

    email: str
    password: str
    role_id: str
    name: str
    totp_secret: str | None = None


SIGN_INS = (
    SignIn("super@example.com", "try-the-portal-super", "super_admin", "Mira Sen", "SUPERADMINDEMOSECRETONLY234567AB"),
    SignIn("finance@example.com", "try-the-portal-finance", "finance_admin", "Kabir Malhotra", "FINANCEADMINDEMOSECRETONLY234567"),
    SignIn("finance2@example.com", "try-the-portal-finance2", "finance_admin", "Leah Goldberg"),
    SignIn("support@example.com", "try-the-portal-support", "support_agent", "Tomás Ferreira"),
)


@dataclass(frozen=True)
class Tools:
    """What the demo is made with: the same as the portal works with."""

    passwords: Passwords
    sealer: Sealer
    policy: RefundPolicy
    gateway: Gateway


def is_loaded(session: Session) -> bool:
    return session.scalar(select(AuditEntry.sequence).where(AuditEntry.action == LOADED).limit(1)) is not None


def is_empty(session: Session) -> bool:
    """Whether nobody has begun to work with this database."""
    tables: tuple[type[Base], ...] = (Admin, User, Vendor, Booking, Payment, Refund, Job)
    return all(session.scalar(select(table.id).limit(1)) is None for table in tables)  # type: ignore[attr-defined]


def load(session: Session, actor: Actor, tools: Tools, refunds: int, moment: datetime | None = None) -> dict[str, int]:
    """Make up a marketplace with this many refunds, and the admins to decide them. Answers how many rows of each kind it made.

    Raises NotEmpty where the database holds anything else.
    """
    actor.require(Permission.DATA_IMPORT)
    if not is_empty(session):
        raise NotEmpty(
            "This database is in use: the demo is only for an empty one. Point DATABASE_URL or DATA_DIR to another place, "
            "or take your own records in with flask data import."
        )
    moment, random = moment or now(), Random(SEED)
    team = [admit(session, actor, tools, sign_in) for sign_in in SIGN_INS]
    traders = Traders(moment, random, refunds)
    approvers = (team[1], team[2], team[0])
    requests = Requesters(moment, random, traders, approvers, tools.policy, tools.gateway).everything(refunds)
    trade = traders.everything_else(refunds)
    referrals = Referrals(moment, random, traders, requests.refunds).everything(refunds // 3)
    place_orders(tools.gateway, requests)
    past = History(moment, random, team, requests.refunds).everything()
    numbers = [RefundNumber(year=year, last=last) for year, last in requests.last_numbers.items()]
    made: dict[str, Sequence[Base]] = {
        "admins": team,
        "users": trade.users,
        "vendors": trade.vendors,
        "bookings": trade.bookings,
        "payments": trade.payments,
        "refunds": requests.refunds,
        "approvals": requests.approvals,
        "attempts": requests.attempts,
        "jobs": [*requests.jobs, *past.jobs],
        "job_events": past.events,
        "referrals": referrals,
    }
    for rows in (*made.values(), numbers):
        session.add_all(rows)
        session.flush()
    counts = {name: len(rows) for name, rows in made.items()}
    audit.record(session, actor, LOADED, **counts)  # type: ignore[arg-type]
    return counts


def admit(session: Session, actor: Actor, tools: Tools, sign_in: SignIn) -> Admin:
    admin = admins.create(
        session,
        actor,
        tools.passwords,
        email=sign_in.email,
        name=sign_in.name,
        role_id=sign_in.role_id,
        password=sign_in.password,
    )
    if sign_in.totp_secret:
        admin.totp_secret, admin.totp_confirmed_at = tools.sealer.seal(sign_in.totp_secret, admin.id), now()
    return admin


def place_orders(gateway: Gateway, requests: Requests) -> None:
    """Have the sandbox hold the refunds that are shown as taken, so that its next answer makes them final."""
    for refund, attempt in requests.orders:
        verdict = gateway.create(order_of(refund, attempt))
        if not isinstance(verdict, Processed | Pending):
            raise Conflict(f"The sandbox gateway did not take an order of the demo: {verdict.message}")
        attempt.gateway_refund_id, attempt.reference = verdict.facts.gateway_refund_id, verdict.facts.reference
        refund.transaction_id = verdict.facts.gateway_refund_id
