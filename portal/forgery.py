"""Forms are sent from our own pages by the person who opened them, or not at all."""

from flask import Flask, g, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from domain.errors import Forbidden, Unauthenticated
from web.db import SAFE_METHODS

OURS = ("same-origin", "none")  # "none": typed or bookmarked; browsers that send no such header are left to the token

csrf = CSRFProtect()


class StalePage(Forbidden):
    code = "STALE_PAGE"


class ForeignPage(Forbidden):
    code = "FOREIGN_PAGE"


def register(app: Flask) -> None:
    app.config.setdefault("WTF_CSRF_CHECK_DEFAULT", False)  # checked here for the portal alone: the API reads no cookie
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # as long as the session, so that a page left open overnight still works
    csrf.init_app(app)


def check() -> None:
    """Before every request of the portal that changes something."""
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site", "none") not in OURS:
        raise ForeignPage("This was sent from another site, so it was not carried out. Open the portal and do it there.")
    try:
        csrf.protect()
    except CSRFError:
        if not g.get("actor") and request.blueprint not in ("portal.auth", "portal.invitation"):
            raise Unauthenticated("Sign in first.") from None
        raise StalePage("You signed in anew since this page was opened, and nothing was sent. Send it again.") from None
