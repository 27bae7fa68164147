"""/api/v1/admin/roles and /api/v1/admin/permissions: what admins may do, and who may do what."""

from typing import Any

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.roles import (
    PermissionDetailSchema,
    PermissionSchema,
    PermissionsMeta,
    RoleDetailSchema,
    RoleSchema,
    RolesMeta,
    detailed,
    listed,
    permission_detailed,
    permission_listed,
)
from domain.access import Permission
from domain.roles import commands, queries
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.roles import RoleChange, RoleCreation

blp = Blueprint("roles", __name__, url_prefix="/api/v1/admin/roles", description="Roles: the system's own, and custom ones.")
permissions = Blueprint("permissions", __name__, url_prefix="/api/v1/admin/permissions", description="What a role may allow.")


@blp.get("")
@needs(Permission.ROLES_LIST)
@blp.response(200, envelope(RoleSchema, many=True, meta=RolesMeta))
def index() -> dict[str, Any]:
    """List every role with its permissions."""
    rows = queries.list_roles(db.session(), g.actor)
    return {"data": [listed(row) for row in rows], "meta": {"total_roles": len(rows), "total_permissions": len(Permission)}}


@blp.post("")
@needs(Permission.ROLES_MANAGE, mfa=True)
@idempotent(required=False)
@blp.arguments(RoleCreation)
@blp.response(201, envelope(RoleDetailSchema))
def create(wish: dict[str, Any]) -> dict[str, Any]:
    """Make a custom role, of permissions that you hold yourself."""
    return shown(commands.create(db.session(), g.actor, **wish).id)


@blp.get("/<role_id>")
@needs(Permission.ROLES_LIST)
@blp.response(200, envelope(RoleDetailSchema))
def show(role_id: str) -> dict[str, Any]:
    """One role, and the admins who hold it."""
    return {"data": detailed(queries.get_role(db.session(), g.actor, role_id))}


@blp.patch("/<role_id>")
@needs(Permission.ROLES_MANAGE, mfa=True)
@idempotent(required=False)
@blp.arguments(RoleChange)
@blp.response(200, envelope(RoleDetailSchema))
def change(wish: dict[str, Any], role_id: str) -> dict[str, Any]:
    """Change a custom role; it counts for its holders from their next call on."""
    return shown(commands.change(db.session(), g.actor, role_id, **wish).id)


@blp.delete("/<role_id>")
@needs(Permission.ROLES_MANAGE, mfa=True)
@idempotent(required=False)
@blp.response(204)
def delete(role_id: str) -> str:
    """Delete a custom role that nobody holds."""
    commands.delete(db.session(), g.actor, role_id)
    return ""


@permissions.get("")
@needs(Permission.ROLES_LIST)
@permissions.response(200, envelope(PermissionSchema, many=True, meta=PermissionsMeta))
def catalogue() -> dict[str, Any]:
    """List every permission there is, and the roles that allow it."""
    rows = queries.list_roles(db.session(), g.actor)
    return {"data": [permission_listed(each, rows) for each in Permission], "meta": {"total_permissions": len(Permission)}}


@permissions.get("/<permission>")
@needs(Permission.ROLES_LIST)
@permissions.response(200, envelope(PermissionDetailSchema))
def who_can(permission: str) -> dict[str, Any]:
    """Who may do this: the roles that allow it, and the active admins who hold them."""
    return {"data": permission_detailed(queries.who_can(db.session(), g.actor, permission))}


def shown(role_id: str) -> dict[str, Any]:
    """The role after an act, for whoever may act on roles even where they may not list them."""
    return {"data": detailed(queries.detail_of(db.session(), g.actor, role_id))}
