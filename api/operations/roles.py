"""Roles and permissions."""

from api.operations.parts import ADMIN_ID, Operation, success
from api.refusals import Refusal

ROLE = {
    "id": "regional_finance",
    "name": "Regional finance",
    "description": "Sees refunds and answers for those of the region",
    "permissions": ["refunds:list", "refunds:approve"],
    "is_system_role": False,
    "can_be_assigned": True,
    "user_count": 1,
    "created_at": "2025-11-12T11:00:00Z",
}
HOLDER = {"id": ADMIN_ID, "name": "Asha Rao", "email": "asha@example.com", "active": True, "mfa_enrolled": True}
ROLE_DETAIL = {**ROLE, "holder_count": 1, "admins": [HOLDER]}
ROLE_WISH = {name: ROLE[name] for name in ("name", "description", "permissions")}
SYSTEM_ROLE = Refusal(403, "SYSTEM_ROLE", "Finance Admin is one of the system's own roles, which stay as they are. Make a custom role.")
ROLE_EXISTS = Refusal(409, "ROLE_EXISTS", "There is a role called Regional finance already. Choose another name.", {"role_id": ROLE["id"]})
ROLE_IN_USE = Refusal(
    409,
    "ROLE_IN_USE",
    "2 admins hold this role, disabled ones included. Give them another one first.",
    {"holder_count": 2},
)
PERMISSION = {
    "id": "refunds:approve",
    "description": "Approve, reject and retry refunds",
    "roles": ["super_admin", "finance_admin"],
    "user_count": 8,
}

OPERATIONS = {
    "permissions.catalogue": Operation(answers={200: success([PERMISSION], total_permissions=42, ignored_parameters=[])}),
    "permissions.who_can": Operation(answers={200: success({**PERMISSION, "admins": [HOLDER]})}),
    "roles.index": Operation(answers={200: success([ROLE], total_roles=6, total_permissions=42, ignored_parameters=[])}),
    "roles.create": Operation(request=ROLE_WISH, answers={201: success(ROLE_DETAIL)}, refusals=(ROLE_EXISTS,)),
    "roles.show": Operation(answers={200: success(ROLE_DETAIL)}),
    "roles.change": Operation(
        request={"permissions": ROLE["permissions"]},
        answers={200: success(ROLE_DETAIL)},
        refusals=(SYSTEM_ROLE, ROLE_EXISTS),
    ),
    "roles.delete": Operation(refusals=(SYSTEM_ROLE, ROLE_IN_USE)),
}
