"""The door for people: pages, and the fragments of them that htmx asks for.

Every address answers a whole page to a plain request and a part of it to htmx, so reload, bookmark and a browser without JavaScript
work. Views translate in, call one domain function and translate out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import uuid4

from flask import Blueprint, Flask, Response, g, request, url_for
from jinja2 import StrictUndefined

from domain.access import Permission
from domain.errors import DomainError
from domain.identity.sessions import IDLE
from domain.jobs.attention import count_attention
from domain.refunds.counts import count_pending
from portal import (
    account,
    admins,
    assets,
    audit,
    auth,
    backups,
    errors,
    forgery,
    formats,
    health,
    help,
    home,
    invitation,
    jobs,
    referrals,
    refunds,
    restores,
    roles,
    wording,
)
from web import auth as sessions
from web.db import db

portal = Blueprint("portal", __name__, template_folder="templates")
for part in (assets, auth, account, admins, audit, backups, health, help, invitation, jobs, referrals, refunds, restores, roles):
    portal.register_blueprint(part.blp)


@dataclass(frozen=True)
class Entry:
    """A line of the navigation. A new noun adds one here; whoever lacks the permission, or each of several, does not see it."""

    word: str
    icon: str
    endpoint: str
    permission: Permission | tuple[Permission, ...] = ()
    count: Callable[[], int | None] | None = None
    counts: str = "waiting"
    also: str = ""
    """Other pages that belong to it."""


NAVIGATION = (
    Entry("Home", "house", "portal.home"),
    Entry("Refunds", "receipt-text", "portal.refunds.index", Permission.REFUNDS_LIST, lambda: count_pending(db.session(), g.actor)),
    Entry("Jobs", "layers", "portal.jobs.index", Permission.JOBS_LIST, lambda: count_attention(db.session(), g.actor), "running or failed"),
    Entry("Referrals", "gift", "portal.referrals.index", Permission.REFERRALS_LIST),
    Entry("Roles", "shield-check", "portal.roles.index", Permission.ROLES_LIST),
    Entry("Admins", "users-round", "portal.admins.index", Permission.ADMINS_LIST),
    Entry("Audit log", "scroll-text", "portal.audit.index", Permission.AUDIT_LIST),
    Entry("Health", "activity", "portal.health.index", Permission.SYSTEM_HEALTH),
    Entry("Backups", "database", "portal.backups.index", (Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE), also="portal.restores"),
    Entry("Help", "circle-help", "portal.help.keys"),
)


portal.add_url_rule("/", "home", home.index)
portal.add_url_rule("/now", "home_now", home.now)


@portal.app_template_global()
def navigation() -> list[dict[str, object]]:
    here = (request.endpoint or "").rpartition(".")[0]
    return [
        {
            "word": entry.word,
            "icon": entry.icon,
            "url": url_for(entry.endpoint),
            "current": here in (entry.endpoint.rpartition(".")[0], entry.also),
            "count": entry.count() if entry.count else None,
            "counts": entry.counts,
        }
        for entry in NAVIGATION
        if allowed(entry)
    ]


def allowed(entry: Entry) -> bool:
    any_of = entry.permission if isinstance(entry.permission, tuple) else (entry.permission,)
    return not any_of or any(g.actor.can(permission) for permission in any_of)


portal.before_request(forgery.check)


@portal.before_request
def step_up() -> None:
    """A code typed into a form that may need one counts before the form is read, and for the next ten minutes."""
    code, actor = request.form.get("mfa_code", "").strip(), g.get("actor")
    if not code or not actor or not actor.mfa_enrolled or actor.has_fresh_mfa:
        return
    try:
        sessions.take_second_step(code)
        sessions.identify_by_cookie()
    except DomainError as error:
        g.actor = replace(actor, mfa_problem=error.message)


@portal.after_request
def vary(response: Response) -> Response:
    """No cache may take a fragment for the page at the same address, or one person's page for another's."""
    response.vary.update(("HX-Request", "HX-Request-Type", "Cookie"))
    return response


@portal.app_context_processor
def who() -> dict[str, object]:
    actor = g.get("actor")
    return {"actor": actor, "can": actor.can if actor else lambda permission: False}


def register(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        Permission=Permission, asset=assets.asset, new_key=lambda: str(uuid4()), idle_seconds=int(IDLE.total_seconds())
    )
    forgery.register(app)
    formats.register(app)
    wording.register(app)
    errors.register(app)
    app.register_blueprint(portal)
