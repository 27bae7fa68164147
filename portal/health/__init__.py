"""/system/health: how the portal and each of its services is, also while one of them is away."""

from flask import Blueprint, g, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from domain.access import Permission
from domain.health.report import Health
from portal.health import showing
from portal.htmx import partial
from web.access import needs
from web.auth import cookie_bearer
from web.db import db
from web.health import even_without_database

blp = Blueprint("health", __name__, url_prefix="/system/health")


def away(health: Health) -> ResponseReturnValue:
    """For whoever came with a cookie of ours, which nobody can look up now: who is ill. A page that is open already says so in itself."""
    if partial():
        return render_template("health/_now_away.html", **showing.away(health))
    return render_template("health/away.html", **showing.away(health)), 503


@blp.get("")
@even_without_database(cookie_bearer, away)
@needs(Permission.SYSTEM_HEALTH)
def index():
    return shown("health/index.html")


@blp.get("/now")
@even_without_database(cookie_bearer, away)
@needs(Permission.SYSTEM_HEALTH)
def now():
    """What a poll asks for: all of it as it is."""
    return shown("health/_now.html" if partial() else "health/index.html")


def shown(template: str) -> ResponseReturnValue:
    try:
        return render_template(template, **showing.context(db.session(), g.actor, g.health))
    except SQLAlchemyError:  # gone since it was asked how it is
        db.session.remove()
        return away(showing.lost(g.health))
