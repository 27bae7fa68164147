"""Roles and permissions as programs see them."""

from typing import Any

from marshmallow import Schema, fields

from api.outputs.fields import Moment
from domain.access import Permission
from domain.identity.models import Admin
from domain.roles.queries import RoleDetail, RoleRow, WhoCan


class RoleSchema(Schema):
    id = fields.String(required=True, metadata={"example": "finance_admin"})
    name = fields.String(required=True)
    description = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True, metadata={"description": "`*` is all of them."})
    is_system_role = fields.Boolean(required=True, metadata={"description": "The system's own roles are never changed or deleted."})
    can_be_assigned = fields.Boolean(required=True)
    user_count = fields.Integer(required=True, metadata={"description": "Active admins who hold it."})
    created_at = Moment(required=True)


class HolderSchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    active = fields.Boolean(required=True)
    mfa_enrolled = fields.Boolean(required=True)


def holders(**options: Any) -> fields.List[Any]:
    description = {"description": "null for callers without `admins:list`."}
    return fields.List(fields.Nested(HolderSchema), required=True, allow_none=True, metadata=description, **options)


class RoleDetailSchema(RoleSchema):
    holder_count = fields.Integer(required=True, metadata={"description": "All who hold it, disabled admins included."})
    admins = holders()


class RolesMeta(Schema):
    total_roles = fields.Integer(required=True)
    total_permissions = fields.Integer(required=True, metadata={"description": "How many permissions there are to give."})
    ignored_parameters = fields.List(fields.String(), metadata={"description": "Query parameters that do not exist here."})


class PermissionSchema(Schema):
    id = fields.String(required=True, metadata={"example": "refunds:approve"})
    description = fields.String(required=True)
    roles = fields.List(fields.String(), required=True, metadata={"description": "The ids of the roles that allow it."})
    user_count = fields.Integer(required=True, metadata={"description": "Active admins who hold one of them."})


class PermissionDetailSchema(PermissionSchema):
    admins = holders()


class PermissionsMeta(Schema):
    total_permissions = fields.Integer(required=True)
    ignored_parameters = fields.List(fields.String(), metadata={"description": "Query parameters that do not exist here."})


def listed(row: RoleRow) -> dict[str, Any]:
    role = row.role
    names = ("id", "name", "description", "permissions", "is_system_role", "can_be_assigned", "created_at")
    return {**{name: getattr(role, name) for name in names}, "user_count": row.user_count}


def detailed(detail: RoleDetail) -> dict[str, Any]:
    return {**listed(detail), "holder_count": detail.holder_count, "admins": holding(detail.holders)}


def permission_listed(permission: Permission, rows: list[RoleRow]) -> dict[str, Any]:
    allowing = [row for row in rows if row.role.allows(permission)]
    return {
        "id": permission.value,
        "description": permission.description,
        "roles": [row.role.id for row in allowing],
        "user_count": sum(row.user_count for row in allowing),
    }


def permission_detailed(found: WhoCan) -> dict[str, Any]:
    return {**permission_listed(found.permission, list(found.roles)), "admins": holding(found.admins)}


def holding(admins: Any) -> list[dict[str, Any]] | None:
    return None if admins is None else [holder(admin) for admin in admins]


def holder(admin: Admin) -> dict[str, Any]:
    return {name: getattr(admin, name) for name in HolderSchema._declared_fields}
