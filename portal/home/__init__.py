"""/, what an admin sees first: what waits for them, and how the last seven days went."""

from flask import g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from domain.access import Permission
from portal.home import showing
from portal.htmx import partial, unless_seen
from web import health
from web.access import needs
from web.db import db


@needs()
def index() -> ResponseReturnValue:
    return render_template("home/index.html", **showing.context(db.session(), g.actor), health=None)


@needs()
def now() -> ResponseReturnValue:
    """What a poll asks for: all of it as it is, and how the portal is, which a page that opens does not wait for."""
    if not partial():
        return redirect(url_for("portal.home"))
    context = showing.context(db.session(), g.actor)
    db.session.rollback()  # whoever is silent is waited for, and nobody's connection is to wait as long
    found = health.examine() if g.actor.can(Permission.SYSTEM_HEALTH) else None
    return unless_seen(render_template("home/_now.html", **context, health=showing.health_line(found)))
