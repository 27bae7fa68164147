"""Admins and their invitations."""

from typing import Any

from api.operations.parts import ADMIN_ID, Operation, success
from api.refusals import Refusal

ADMIN = {
    "id": ADMIN_ID,
    "email": "asha@example.com",
    "name": "Asha Rao",
    "role": {"id": "finance_admin", "name": "Finance Admin"},
    "status": "active",
    "mfa_enrolled": True,
    "last_seen_at": "2025-11-12T10:58:00Z",
    "created_at": "2025-06-01T08:00:00Z",
    "disabled_at": None,
}
INVITATION = {
    "id": "7c2f9a61-5e0b-4a63-9d47-2f1e8b0c6a35",
    "email": "ravi@example.com",
    "name": "Ravi Menon",
    "role": {"id": "support_agent", "name": "Support Agent"},
    "expired": False,
    "expires_at": "2025-11-15T11:00:00Z",
    "created_at": "2025-11-12T11:00:00Z",
    "invited_by": "Asha Rao",
}
PAGE: dict[str, Any] = {"page": 1, "page_size": 25, "total_pages": 1, "next_cursor": None, "ignored_parameters": []}
LAST_SUPER_ADMIN = Refusal(409, "LAST_SUPER_ADMIN", "This is the last active super admin. Make another one first.")
OWN_ACCOUNT = Refusal(409, "OWN_ACCOUNT", "You cannot disable yourself: ask another admin to do it.")
EMAIL_TAKEN = Refusal(409, "EMAIL_TAKEN", "There is an admin with the address ravi@example.com already.")
ALREADY_INVITED = Refusal(409, "ALREADY_INVITED", "ravi@example.com is invited already. Send that invitation again, or withdraw it first.")

OPERATIONS = {
    "admins.index": Operation(answers={200: success([ADMIN], **PAGE, total_items=1, summary={"active": 1, "disabled": 0})}),
    "admins.show": Operation(answers={200: success(ADMIN)}),
    "admins.change": Operation(request={"role": "finance_admin"}, answers={200: success(ADMIN)}, refusals=(LAST_SUPER_ADMIN,)),
    "admins.disable": Operation(
        answers={200: success({**ADMIN, "status": "disabled", "disabled_at": "2025-11-12T11:00:00Z"})},
        refusals=(LAST_SUPER_ADMIN, OWN_ACCOUNT),
    ),
    "admins.enable": Operation(answers={200: success(ADMIN)}),
    "admins.reset_mfa": Operation(answers={200: success({**ADMIN, "mfa_enrolled": False})}),
    "invitations.waiting": Operation(answers={200: success([INVITATION], **PAGE, total_items=1, summary={})}),
    "invitations.invite": Operation(
        request={"email": "ravi@example.com", "name": "Ravi Menon", "role": "support_agent"},
        answers={201: success(INVITATION)},
        refusals=(EMAIL_TAKEN, ALREADY_INVITED),
    ),
    "invitations.resend": Operation(answers={200: success(INVITATION)}),
}
