"""Who is acting and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.db import now
from domain.errors import Forbidden, MfaRequired

FRESH_MFA = timedelta(minutes=10)
EVERYTHING = "*"


class Permission(StrEnum):
    """The catalogue: every permission a role may hold, and the only place one is spelled."""

    description: str

    def __new__(cls, value: str, description: str) -> Permission:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    USERS_CREATE = "users:create", "Create customer accounts"
    USERS_UPDATE = "users:update", "Change customer accounts"
    USERS_DELETE = "users:delete", "Delete customer accounts"
    USERS_LIST = "users:list", "List customers"
    USERS_VIEW = "users:view", "Open one customer"
    USERS_VIEW_PII = "users:view_pii", "See customers' personal data unmasked"
    VENDORS_LIST = "vendors:list", "List vendors"
    VENDORS_VIEW = "vendors:view", "Open one vendor"
    VENDORS_VERIFY = "vendors:verify", "Verify vendor applications"
    VENDORS_SUSPEND = "vendors:suspend", "Suspend vendors"
    SERVICES_LIST = "services:list", "List services"
    SERVICES_VIEW = "services:view", "Open one service"
    BOOKINGS_LIST = "bookings:list", "List bookings"
    BOOKINGS_VIEW = "bookings:view", "Open one booking"
    PAYMENTS_LIST = "payments:list", "List payments"
    PAYMENTS_VIEW = "payments:view", "Open one payment"
    PAYMENTS_REFUND = "payments:refund", "Refund a payment directly"
    SUBSCRIPTIONS_LIST = "subscriptions:list", "List subscriptions"
    SUBSCRIPTIONS_VIEW = "subscriptions:view", "Open one subscription"
    REVIEWS_LIST = "reviews:list", "List reviews"
    REVIEWS_VIEW = "reviews:view", "Open one review"
    REVIEWS_MODERATE = "reviews:moderate", "Moderate reviews"
    REVIEWS_HIDE = "reviews:hide", "Hide reviews"
    REVIEWS_REMOVE = "reviews:remove", "Remove reviews"
    ANALYTICS_VIEW = "analytics:view", "See and export analytics"
    REFUNDS_LIST = "refunds:list", "See the refund queue and each refund"
    REFUNDS_APPROVE = "refunds:approve", "Approve, reject and retry refunds"
    REFERRALS_LIST = "referrals:list", "See referrals and their payouts"
    JOBS_LIST = "jobs:list", "See own background jobs"
    JOBS_LIST_ALL = "jobs:list_all", "See everybody's background jobs"
    JOBS_CANCEL = "jobs:cancel", "Cancel background jobs"
    JOBS_RETRY = "jobs:retry", "Run failed background jobs again"
    JOBS_DELETE = "jobs:delete", "Delete finished background jobs"
    ROLES_LIST = "roles:list", "See roles and their permissions"
    ROLES_MANAGE = "roles:manage", "Create, change and delete custom roles"
    ADMINS_LIST = "admins:list", "See admins"
    ADMINS_MANAGE = "admins:manage", "Invite and disable admins and give them roles"
    AUDIT_LIST = "audit:list", "Read the audit log"
    DATA_IMPORT = "data:import", "Import the marketplace's records"
    SYSTEM_HEALTH = "system:health", "See the state of the system"
    SYSTEM_BACKUP = "system:backup", "Make backups"
    SYSTEM_RESTORE = "system:restore", "Restore from a backup"


@dataclass(frozen=True)
class Actor:
    """Whoever acts: an admin behind a session, an operator at the command line, or the system itself."""

    admin_id: UUID | None
    name: str
    permissions: frozenset[str]
    email: str = ""
    role_id: str | None = None
    role_name: str | None = None
    session_id: UUID | None = None
    mfa_enrolled: bool = False
    mfa_at: datetime | None = None
    mfa_problem: str | None = None  # why the code that came with this call did not count
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    timezone: str = "UTC"
    locale: str = "en_IN"

    def can(self, permission: Permission) -> bool:
        return EVERYTHING in self.permissions or permission.value in self.permissions

    def require(self, permission: Permission, *, mfa: bool = False) -> None:
        """Raise unless the actor holds the permission (403) and, where asked, gave a second factor lately (403)."""
        if not self.can(permission):
            raise Forbidden(
                f"This needs the permission {permission.value}. Ask a super admin for a role that has it.",
                required_permission=permission.value,
            )
        if mfa:
            self.require_fresh_mfa()

    def require_to_hold(self, permissions: Iterable[str]) -> None:
        """Raise unless the actor holds every one of these: nobody gives to others, or takes from them, what they do not hold themselves."""
        lacking = [] if EVERYTHING in self.permissions else sorted(set(permissions) - self.permissions)
        if lacking:
            words = "everything" if EVERYTHING in lacking else ", ".join(lacking)
            raise Forbidden(f"This takes what you do not hold yourself: {words}. Ask a super admin.", required_permission=lacking[0])

    def require_or_own(self, permission: Permission, owner_id: UUID | None) -> None:
        if owner_id is None or owner_id != self.admin_id:
            self.require(permission)

    @property
    def has_fresh_mfa(self) -> bool:
        return self.mfa_at is not None and now() - self.mfa_at <= FRESH_MFA

    def require_fresh_mfa(self) -> None:
        if not self.has_fresh_mfa:
            raise MfaRequired(
                self.mfa_problem
                or "Confirm with your second factor: it must be at most 10 minutes old. Post a code to /auth/mfa, or send it as X-MFA-Code."
                if self.mfa_enrolled
                else "This needs a second factor, and none is set up for your account. Set one up, then try again."
            )


def operator() -> Actor:
    """Whoever is at the command line: may do everything, since they could also open the database with an editor."""
    return Actor(admin_id=None, name="operator at the command line", permissions=frozenset({EVERYTHING}), mfa_at=now())


SYSTEM = Actor(admin_id=None, name="System", permissions=frozenset({EVERYTHING}))
"""The portal itself: workers, sweeps, webhooks. It decides nothing about money; it carries decisions out."""
