"""The dialogs that ask before something is done to an admin, or to an invitation."""

from typing import Any

from flask import g, render_template, request, url_for

from domain.access import EVERYTHING, Permission
from domain.identity.directory import AdminRow, InvitationRow
from domain.roles.models import Role
from domain.roles.queries import assignable_roles, count_approvers
from portal import mfa
from portal.errors import Refusal
from portal.htmx import partial
from web.db import db

TEXTS = {
    "disable": (
        "Disable {name}?",
        "Every session of theirs ends at once, and no new one opens. Links that they invited people with stop working.",
        "Disable",
    ),
    "enable": ("Enable {name} again?", "They may sign in again, with the password and the role they had.", "Enable"),
    "reset_mfa": (
        "Take the second step off {name}?",
        "For somebody who lost their phone and their recovery codes: make sure that it is them who ask. Every session of theirs ends, and "
        "until they set up a new one their password alone lets them in.",
        "Take it off",
    ),
    "resend": (
        "Send the invitation to {name} again?",
        "They get a new link, good for three days. The one before stops working.",
        "Send again",
    ),
    "withdraw": ("Withdraw the invitation of {name}?", "Its link stops working. You can invite them again at any time.", "Withdraw"),
}
DANGEROUS = ("disable", "reset_mfa", "withdraw")


def act_form(name: str, row: AdminRow, refusal: Refusal | None) -> str:
    warning = too_few_approvers_without(row) if name == "disable" else None
    return ask(name, row.admin.name, row.admin.email, row.role, {"admin_id": row.admin.id}, show_url(row), refusal, warning)


def too_few_approvers_without(row: AdminRow) -> str | None:
    """What would come of it for large refunds, which two admins must approve."""
    if not row.admin.active or not row.role.allows(Permission.REFUNDS_APPROVE) or count_approvers(db.session()).able > 2:
        return None
    return "Without them fewer than two admins may approve refunds, and one above its limit needs two."


def invitation_form(name: str, row: InvitationRow, refusal: Refusal | None) -> str:
    back = url_for("portal.admins.index", status="invited")
    return ask(name, row.invitation.name, row.invitation.email, row.role, {"invitation_id": row.invitation.id}, back, refusal)


def ask(
    name: str, whom: str, email: str, role: Role, target: dict[str, Any], back: str, refusal: Refusal | None, warning: str | None = None
) -> str:
    title, text, button = TEXTS[name]
    return form(
        "act",
        refusal,
        title=title.format(name=whom),
        under=f"{email}, {role.name}",
        text=text,
        warning=warning,
        button=button,
        dangerous=name in DANGEROUS,
        action=url_for(f"portal.admins.{name}", **target),
        back_url=back,
    )


def role_form(row: AdminRow, refusal: Refusal | None) -> str:
    return form(
        "role",
        refusal,
        row=row,
        roles=givable(),
        chosen=request.form.get("role", row.role.id),
        action=url_for("portal.admins.give_role", admin_id=row.admin.id),
        back_url=show_url(row),
    )


def invite_form(refusal: Refusal | None) -> str:
    return form(
        "invite",
        refusal,
        roles=givable(),
        email=request.form.get("email", ""),
        name=request.form.get("name", ""),
        chosen=request.form.get("role", ""),
        action=url_for("portal.admins.invite"),
        back_url=url_for("portal.admins.index"),
    )


def form(sheet: str, refusal: Refusal | None, **context: Any) -> str:
    """In the dialog, or on a page of its own without JavaScript."""
    template = f"admins/_{sheet}.html"
    context |= mfa.form_context(refusal)
    return render_template(template if partial() else "admins/form.html", form_template=template, in_dialog=partial(), **context)


def givable() -> list[Role]:
    """The roles that the actor may give to somebody."""
    held = g.actor.permissions
    return [role for role in assignable_roles(db.session()) if EVERYTHING in held or set(role.permissions) <= held]


def show_url(row: AdminRow) -> str:
    return url_for("portal.admins.show", admin_id=row.admin.id)
