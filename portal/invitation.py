"""/invitation: where the link of an invitation leads. Opening it changes nothing, since mail programs look at links before people do."""

from functools import partial

from flask import Blueprint, redirect, render_template, url_for

from domain.identity import invitations
from portal.errors import Refusal, refusals_go_to
from portal.forms import read_form
from web import auth, limits
from web.db import db
from web.inputs.admins import NewPassword
from web.requests import client_address

blp = Blueprint("invitation", __name__, url_prefix="/invitation")


@blp.get("/<token>")
def show(token):
    limits.spend_stranger(client_address())
    return page(token)


@blp.post("/<token>")
def accept(token):
    """Become an admin, and go on to two-step sign-in."""
    limits.spend_stranger(client_address())
    invitations.open_with(db.session(), token)
    refusals_go_to(partial(page, token))
    auth.accept_invitation(token, read_form(NewPassword)["password"])
    return redirect(url_for("portal.account.two_step"), 303)


def page(token: str, refusal: Refusal | None = None) -> str:
    opened = invitations.open_with(db.session(), token)
    return render_template(
        "auth/invitation.html",
        refusal=refusal if refusal and not refusal.fields else None,
        errors=refusal.fields if refusal else {},
        token=token,
        opened=opened,
    )
