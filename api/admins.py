"""/api/v1/admin/admins and /api/v1/admin/invitations: who works in the portal, and who is asked in."""

from typing import Any
from uuid import UUID

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.admins import AdminSchema, InvitationSchema, invitation_listed, listed
from domain.access import Permission
from domain.identity import admins, directory, invitations
from domain.identity.directory import AdminFilters
from web.access import needs
from web.auth import identity
from web.db import db
from web.idempotency import idempotent
from web.inputs.admins import AdminChange, AdminQuery, InvitationWish, PersonQuery

blp = Blueprint("admins", __name__, url_prefix="/api/v1/admin/admins", description="Who may sign in, and with which role.")
invited = Blueprint("invitations", __name__, url_prefix="/api/v1/admin/invitations", description="Who is asked to become an admin.")

MANAGE = needs(Permission.ADMINS_MANAGE, mfa=True)


@blp.get("")
@needs(Permission.ADMINS_LIST)
@blp.arguments(AdminQuery, location="query")
@blp.response(200, envelope(AdminSchema, many=True))
def index(filters: AdminFilters) -> dict[str, Any]:
    """List admins, the newest first."""
    page = directory.list_admins(db.session(), g.actor, filters)
    return {"data": [listed(row) for row in page], "meta": page.meta}


@blp.get("/<uuid:admin_id>")
@needs(Permission.ADMINS_LIST)
@blp.response(200, envelope(AdminSchema))
def show(admin_id: UUID) -> dict[str, Any]:
    """One admin."""
    return {"data": listed(directory.get_admin(db.session(), g.actor, admin_id))}


@blp.patch("/<uuid:admin_id>")
@MANAGE
@idempotent(required=False)
@blp.arguments(AdminChange)
@blp.response(200, envelope(AdminSchema))
def change(wish: dict[str, Any], admin_id: UUID) -> dict[str, Any]:
    """Give an admin another role; it counts from their next call on."""
    return shown(admins.give_role(db.session(), g.actor, admin_id, **wish).id)


@blp.post("/<uuid:admin_id>/disable")
@MANAGE
@idempotent(required=False)
@blp.response(200, envelope(AdminSchema))
def disable(admin_id: UUID) -> dict[str, Any]:
    """Shut an admin out: every session ends now, and no new one opens."""
    return shown(admins.disable(db.session(), g.actor, admin_id).id)


@blp.post("/<uuid:admin_id>/enable")
@MANAGE
@idempotent(required=False)
@blp.response(200, envelope(AdminSchema))
def enable(admin_id: UUID) -> dict[str, Any]:
    """Let a disabled admin sign in again."""
    return shown(admins.enable(db.session(), g.actor, admin_id).id)


@blp.post("/<uuid:admin_id>/reset-mfa")
@MANAGE
@idempotent(required=False)
@blp.response(200, envelope(AdminSchema))
def reset_mfa(admin_id: UUID) -> dict[str, Any]:
    """Take the second factor off an admin who lost it; every session of theirs ends."""
    return shown(admins.reset_mfa(db.session(), g.actor, admin_id).id)


@invited.get("")
@needs(Permission.ADMINS_LIST)
@invited.arguments(PersonQuery, location="query")
@invited.response(200, envelope(InvitationSchema, many=True))
def waiting(filters: AdminFilters) -> dict[str, Any]:
    """List the invitations that nobody has accepted yet, the newest first."""
    page = directory.list_invitations(db.session(), g.actor, filters)
    return {"data": [invitation_listed(row) for row in page], "meta": page.meta}


@invited.post("")
@MANAGE
@idempotent(required=False)
@invited.arguments(InvitationWish)
@invited.response(201, envelope(InvitationSchema))
def invite(wish: dict[str, Any]) -> dict[str, Any]:
    """Ask somebody in: a link, good once and for three days, goes to their address."""
    return sent(invitations.invite(db.session(), g.actor, identity().links, **wish).id)


@invited.post("/<uuid:invitation_id>/resend")
@MANAGE
@idempotent(required=False)
@invited.response(200, envelope(InvitationSchema))
def resend(invitation_id: UUID) -> dict[str, Any]:
    """Send a new link, good for three days again; the one before opens nothing any more."""
    return sent(invitations.resend(db.session(), g.actor, identity().links, invitation_id).id)


@invited.delete("/<uuid:invitation_id>")
@MANAGE
@idempotent(required=False)
@invited.response(204)
def withdraw(invitation_id: UUID) -> str:
    """Take an invitation back: its link opens nothing any more."""
    invitations.withdraw(db.session(), g.actor, invitation_id)
    return ""


def shown(admin_id: UUID) -> dict[str, Any]:
    return {"data": listed(directory.row_of(db.session(), admin_id))}


def sent(invitation_id: UUID) -> dict[str, Any]:
    return {"data": invitation_listed(directory.invitation_row(db.session(), invitation_id))}
