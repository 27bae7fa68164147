"""Roles in words: the matrix, one role, who can do one thing, and what two roles do not have in common."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import request

from domain.access import Permission
from domain.roles.models import Role
from domain.roles.queries import Approvers, RoleRow

NOUNS = {
    "users": "Customers",
    "vendors": "Vendors",
    "services": "Services",
    "bookings": "Bookings",
    "payments": "Payments",
    "subscriptions": "Subscriptions",
    "reviews": "Reviews",
    "analytics": "Analytics",
    "refunds": "Refunds",
    "referrals": "Referrals",
    "jobs": "Jobs",
    "roles": "Roles",
    "admins": "Admins",
    "audit": "Audit log",
    "data": "Data",
    "system": "System",
}


def groups(wanted: Callable[[Permission], bool] = lambda permission: True) -> list[dict[str, Any]]:
    """The catalogue by noun, in its own order, as far as it is wanted."""
    found: dict[str, list[Permission]] = {}
    for permission in filter(wanted, Permission):
        found.setdefault(permission.partition(":")[0], []).append(permission)
    return [{"noun": noun, "word": NOUNS.get(noun, noun.capitalize()), "permissions": each} for noun, each in found.items()]


def matrix(rows: Iterable[RoleRow], q: str) -> dict[str, Any]:
    """Roles across, permissions down, those that hold the text that was searched for."""
    text = q.casefold()
    return {
        "rows": list(rows),
        "q": q,
        "groups": groups(lambda permission: text in f"{permission.value} {permission.description}".casefold()),
    }


def searched() -> str:
    return "".join(character for character in request.args.get("q", "")[:100] if character.isprintable()).strip()


def approvers_warning(approvers: Approvers) -> dict[str, str] | None:
    """Where a refund above its limit would wait for ever, since nobody could give its second approval."""
    if approvers.able < 2:
        found = "Nobody may" if not approvers.able else "Only one admin may"
        return {
            "title": "Large refunds cannot be approved",
            "text": f"{found} approve refunds, and one above its limit needs two. Give a second admin a role with refunds:approve.",
        }
    if approvers.ready < 2:
        found = "none of them has" if not approvers.ready else "only one of them has"
        return {
            "title": "Large refunds cannot be approved yet",
            "text": f"{approvers.able} admins may approve refunds, but {found} two-step sign-in, which an approval above the limit "
            "needs. They set it up under Account.",
        }
    return None


def difference(first: Role, second: Role) -> list[dict[str, Any]]:
    """What only one of them allows, and what both do."""
    sides = (
        (f"Only {first.name}", lambda each: first.allows(each) and not second.allows(each)),
        (f"Only {second.name}", lambda each: second.allows(each) and not first.allows(each)),
        ("Both", lambda each: first.allows(each) and second.allows(each)),
    )
    found = [(word, groups(wanted)) for word, wanted in sides]
    return [{"word": word, "groups": each, "count": sum(len(group["permissions"]) for group in each)} for word, each in found]
