"""The forms that make, change and delete a custom role."""

from typing import Any

from flask import g, render_template, request, url_for

from domain.access import EVERYTHING, Actor
from domain.roles.models import Role
from domain.roles.queries import RoleDetail
from portal import mfa
from portal.errors import Refusal
from portal.htmx import partial
from portal.roles.showing import groups


def role_form(detail: RoleDetail | None, refusal: Refusal | None, copied: Role | None = None) -> str:
    """The form of a new role, where a role is `copied` beginning with what that one allows, or of one that is there."""
    role = detail.role if detail else None
    start = role or copied
    again = request.method == "POST"
    return render_template(
        "roles/form.html",
        role=role,
        detail=detail,
        copied=copied,
        title=f"Change {role.name}" if role else "New role",
        action=url_for("portal.roles.change", role_id=role.id) if role else url_for("portal.roles.create"),
        back_url=url_for("portal.roles.show", role_id=role.id) if role else url_for("portal.roles.index"),
        name=request.form.get("name", "") if again else role.name if role else "",
        description=request.form.get("description", "") if again else start.description if start else "",
        ticked=set(request.form.getlist("permissions") if again else start.permissions if start else []),
        can_be_assigned="can_be_assigned" in request.form if again else role.can_be_assigned if role else True,
        groups=groups(),
        everything=EVERYTHING,
        version=request.form.get("version") if again else role.version if role else None,
        **mfa.form_context(refusal),
    )


def delete_form(detail: RoleDetail, refusal: Refusal | None) -> str:
    return render_template(
        "roles/_delete.html" if partial() else "roles/delete.html",
        detail=detail,
        role=detail.role,
        in_dialog=partial(),
        back_url=url_for("portal.roles.show", role_id=detail.role.id),
        **mfa.form_context(refusal),
    )


def may_change(actor: Actor, role: Role) -> bool:
    return not role.is_system_role and (EVERYTHING in actor.permissions or set(role.permissions) <= actor.permissions)


def may_give(permission: str) -> bool:
    held: frozenset[str] = g.actor.permissions
    return EVERYTHING in held or permission in held


def context() -> dict[str, Any]:
    return {"may_give": may_give, "may_change": may_change}
