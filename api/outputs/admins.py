"""Admins and invitations as programs see them."""

from typing import Any

from marshmallow import Schema, fields

from api.outputs.auth import RoleNameSchema
from api.outputs.fields import Moment
from domain.identity.directory import AdminRow, InvitationRow, Standing


class AdminSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.Nested(RoleNameSchema, required=True)
    status = fields.String(required=True, metadata={"enum": [str(each) for each in Standing]})
    mfa_enrolled = fields.Boolean(required=True, metadata={"description": "Whether a second factor is set up."})
    last_seen_at = Moment(required=True, allow_none=True, metadata={"description": "null where there was no session in the last 7 days."})
    created_at = Moment(required=True)
    disabled_at = Moment(required=True, allow_none=True)


class InvitationSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.Nested(RoleNameSchema, required=True)
    expired = fields.Boolean(required=True, metadata={"description": "Its link opens nothing any more; it can be sent again."})
    expires_at = Moment(required=True)
    created_at = Moment(required=True)
    invited_by = fields.String(
        required=True, allow_none=True, metadata={"description": "A name; null for the operator at the command line."}
    )


def listed(row: AdminRow) -> dict[str, Any]:
    admin = row.admin
    return {
        **{name: getattr(admin, name) for name in ("id", "email", "name", "mfa_enrolled", "created_at", "disabled_at")},
        "role": {"id": row.role.id, "name": row.role.name},
        "status": Standing.ACTIVE if admin.active else Standing.DISABLED,
        "last_seen_at": row.last_seen_at,
    }


def invitation_listed(row: InvitationRow) -> dict[str, Any]:
    invitation = row.invitation
    return {
        **{name: getattr(invitation, name) for name in ("id", "email", "name", "expired", "expires_at", "created_at")},
        "role": {"id": row.role.id, "name": row.role.name},
        "invited_by": row.inviter_name,
    }
