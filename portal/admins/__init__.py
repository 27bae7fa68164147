"""/admins: who may sign in and with which role, and who is invited."""

from functools import partial
from uuid import UUID

from flask import Blueprint, Response, g, render_template, url_for

from domain.access import EVERYTHING, Permission
from domain.audit.queries import list_for_object
from domain.identity import admins, directory, invitations
from domain.identity.models import Admin
from portal import timelines
from portal.admins import acting, listing
from portal.errors import refusals_go_to
from portal.forms import read_form
from portal.htmx import go, render
from portal.roles.showing import groups
from web.access import needs
from web.auth import identity
from web.db import db
from web.idempotency import idempotent
from web.inputs.admins import AdminChange, InvitationWish

blp = Blueprint("admins", __name__, url_prefix="/admins")

LISTS, MANAGES = needs(Permission.ADMINS_LIST), needs(Permission.ADMINS_MANAGE)


@blp.get("")
@LISTS
def index():
    context, status = listing.list_context()
    return render("admins/index.html", fragment="admins/_fragment.html", **context), status


@blp.get("/invite")
@MANAGES
def invite_form(refusal=None):
    return acting.invite_form(refusal)


@blp.post("/invite")
@MANAGES
@idempotent()
def invite():
    refusals_go_to(invite_form)
    invitations.invite(db.session(), g.actor, identity().links, **read_form(InvitationWish))
    return go(back_to_invited())


@blp.get("/<uuid:admin_id>")
@LISTS
def show(admin_id):
    row = directory.get_admin(db.session(), g.actor, admin_id)
    return render_template(
        "admins/show.html",
        **listing.line(row),
        governs=EVERYTHING in g.actor.permissions or set(row.role.permissions) <= g.actor.permissions,
        groups=groups(row.role.allows),
        timeline=timelines.timeline(list_for_object(db.session(), Admin, admin_id)) if g.actor.can(Permission.AUDIT_LIST) else None,
    )


@blp.get("/<uuid:admin_id>/role")
@MANAGES
def give_role_form(admin_id, refusal=None):
    return acting.role_form(row_of(admin_id), refusal)


@blp.post("/<uuid:admin_id>/role")
@MANAGES
@idempotent()
def give_role(admin_id):
    refusals_go_to(partial(give_role_form, admin_id))
    admins.give_role(db.session(), g.actor, admin_id, **read_form(AdminChange))
    return done(admin_id)


@blp.get("/<uuid:admin_id>/disable")
@MANAGES
def disable_form(admin_id, refusal=None):
    return acting.act_form("disable", row_of(admin_id), refusal)


@blp.post("/<uuid:admin_id>/disable")
@MANAGES
@idempotent()
def disable(admin_id):
    refusals_go_to(partial(disable_form, admin_id))
    admins.disable(db.session(), g.actor, admin_id)
    return done(admin_id)


@blp.get("/<uuid:admin_id>/enable")
@MANAGES
def enable_form(admin_id, refusal=None):
    return acting.act_form("enable", row_of(admin_id), refusal)


@blp.post("/<uuid:admin_id>/enable")
@MANAGES
@idempotent()
def enable(admin_id):
    refusals_go_to(partial(enable_form, admin_id))
    admins.enable(db.session(), g.actor, admin_id)
    return done(admin_id)


@blp.get("/<uuid:admin_id>/reset-mfa")
@MANAGES
def reset_mfa_form(admin_id, refusal=None):
    return acting.act_form("reset_mfa", row_of(admin_id), refusal)


@blp.post("/<uuid:admin_id>/reset-mfa")
@MANAGES
@idempotent()
def reset_mfa(admin_id):
    refusals_go_to(partial(reset_mfa_form, admin_id))
    admins.reset_mfa(db.session(), g.actor, admin_id)
    return done(admin_id)


@blp.get("/invitations/<uuid:invitation_id>/resend")
@MANAGES
def resend_form(invitation_id, refusal=None):
    return acting.invitation_form("resend", directory.invitation_row(db.session(), invitation_id), refusal)


@blp.post("/invitations/<uuid:invitation_id>/resend")
@MANAGES
@idempotent()
def resend(invitation_id):
    refusals_go_to(partial(resend_form, invitation_id))
    invitations.resend(db.session(), g.actor, identity().links, invitation_id)
    return go(back_to_invited())


@blp.get("/invitations/<uuid:invitation_id>/withdraw")
@MANAGES
def withdraw_form(invitation_id, refusal=None):
    return acting.invitation_form("withdraw", directory.invitation_row(db.session(), invitation_id), refusal)


@blp.post("/invitations/<uuid:invitation_id>/withdraw")
@MANAGES
@idempotent()
def withdraw(invitation_id):
    refusals_go_to(partial(withdraw_form, invitation_id))
    invitations.withdraw(db.session(), g.actor, invitation_id)
    return go(back_to_invited())


def row_of(admin_id: UUID) -> directory.AdminRow:
    return directory.row_of(db.session(), admin_id)


def done(admin_id: UUID) -> Response:
    """The admin's page; somebody who may act on admins and not list them goes home."""
    return go(url_for("portal.admins.show", admin_id=admin_id) if g.actor.can(Permission.ADMINS_LIST) else url_for("portal.home"))


def back_to_invited() -> str:
    return url_for("portal.admins.index", status=listing.INVITED) if g.actor.can(Permission.ADMINS_LIST) else url_for("portal.home")
