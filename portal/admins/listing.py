"""The list of admins and of those who are invited: what its address says, and everything around and in its rows."""

from dataclasses import dataclass
from typing import Any

from flask import g, request, url_for

from domain.db import now
from domain.identity import directory
from domain.identity.directory import AdminFilters, AdminRow, InvitationRow, Standing
from domain.identity.tidying import SESSIONS_KEPT
from domain.roles.queries import role_names
from portal.formats import number, zone_words
from portal.lists import ListAddress, Reading, reach, tabs
from portal.wording import Look
from web.db import db

INVITED = "invited"
WORDS = {Standing.ACTIVE: "Active", Standing.DISABLED: "Disabled", INVITED: "Invited"}
STANDINGS = {
    Standing.ACTIVE: Look("Active", "success", "circle-check"),
    Standing.DISABLED: Look("Disabled", "neutral", "ban"),
}
SECOND_STEP = {True: Look("On", "success", "shield-check"), False: Look("Off", "warning", "triangle-alert")}
WAITING = {True: Look("Expired", "warning", "hourglass"), False: Look("Sent", "info", "send")}


@dataclass(frozen=True, kw_only=True)
class AdminsQuery(ListAddress):
    ENDPOINT = "portal.admins.index"

    status: str = Standing.ACTIVE
    role: str = ""
    mfa: str = ""


def list_context() -> tuple[dict[str, Any], int]:
    """What the page shows, and its status."""
    query = AdminsQuery.read(request.args)
    names = role_names(db.session())
    filters, refusals = read_filters(query, names)
    counts = {
        **directory.summarise_admins(db.session(), g.actor, filters),
        INVITED: directory.count_invitations(db.session(), g.actor, filters),
    }
    invited = query.status == INVITED
    page: Any = (directory.list_invitations if invited else directory.list_admins)(db.session(), g.actor, filters)
    found = counts.get(query.status, 0)
    context = {
        "query": query,
        "refusals": refusals,
        "tabs": tabs(query, counts, {str(name): word for name, word in WORDS.items()}),
        "found_words": f"{number(found)} {WORDS.get(query.status, '').casefold()} {'admin' if found == 1 else 'admins'}",
        "invited": invited,
        "rows": [invitation_line(row) if invited else line(row) for row in page],
        "pages": reach(page),
        "page_url": lambda place: query.url(page=str(place)),
        "list_url": query.url(page=query.page),
        "clear_url": AdminsQuery(status=query.status).url(),
        "chips": chips(query, names),
        "roles": [{"word": name, "url": query.url(role=id)} for id, name in names.items()],
        "second_steps": [{"word": look.word, "url": query.url(mfa=look.word.casefold())} for look in SECOND_STEP.values()],
        "zone": zone_words(),
    }
    return context, 422 if refusals else 200


def read_filters(query: AdminsQuery, names: dict[str, str]) -> tuple[AdminFilters, list[str]]:
    reading = Reading(query)
    if query.status not in (*Standing, INVITED):
        reading.refusals.append("There is no such status.")
    elif query.status != INVITED:
        reading.found["status"] = (Standing(query.status),)
    if query.role and query.role not in names:
        reading.refusals.append("There is no such role.")
    elif query.role:
        reading.found["role"] = (query.role,)
    if query.mfa in ("on", "off"):
        reading.found["mfa_enrolled"] = query.mfa == "on"
    elif query.mfa:
        reading.refusals.append("Second step: on or off.")
    return AdminFilters(**reading.found), reading.refusals


def chips(query: AdminsQuery, names: dict[str, str]) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.role:
        found.append({"word": "Role", "value": names.get(query.role, query.role), "without": query.url(role="")})
    if query.mfa:
        found.append({"word": "Second step", "value": query.mfa, "without": query.url(mfa="")})
    return found


def line(row: AdminRow) -> dict[str, Any]:
    admin = row.admin
    return {
        "admin": admin,
        "role": row.role,
        "last_seen_at": row.last_seen_at,
        "unseen": "Never" if admin.created_at > now() - SESSIONS_KEPT else "Over a week ago",  # older sessions are forgotten
        "url": url_for("portal.admins.show", admin_id=admin.id),
        "second_step": SECOND_STEP[admin.mfa_enrolled],
        "standing": STANDINGS[Standing.ACTIVE if admin.active else Standing.DISABLED],
        "own": admin.id == g.actor.admin_id,
    }


def invitation_line(row: InvitationRow) -> dict[str, Any]:
    return {"invitation": row.invitation, "role": row.role, "inviter": row.inviter_name, "look": WAITING[row.invitation.expired]}
