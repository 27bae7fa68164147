"""/roles: who may do what, as a matrix, by role and by permission; and custom roles."""

from functools import partial

from flask import Blueprint, g, render_template, request, url_for

from domain.access import Permission
from domain.audit.queries import list_for_object
from domain.errors import NotFound
from domain.roles import commands, queries
from domain.roles.models import Role
from portal import timelines
from portal.errors import refusals_go_to
from portal.forms import read_form, typed_version
from portal.htmx import go, render
from portal.roles import changing, showing
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.roles import RoleChange, RoleCreation

blp = Blueprint("roles", __name__, url_prefix="/roles")
blp.context_processor(changing.context)


@blp.get("")
@needs(Permission.ROLES_LIST)
def index():
    rows = queries.list_roles(db.session(), g.actor)
    warning = showing.approvers_warning(queries.count_approvers(db.session()))
    return render("roles/index.html", fragment="roles/_matrix.html", warning=warning, **showing.matrix(rows, showing.searched()))


@blp.get("/compare")
@needs(Permission.ROLES_LIST)
def compare():
    """What two roles do not have in common; the first two where none are named."""
    rows = queries.list_roles(db.session(), g.actor)
    by_id = {row.role.id: row.role for row in rows}
    first, second = (by_id.get(request.args.get(name, id)) for name, id in zip(("a", "b"), by_id, strict=False))
    if first is None or second is None:
        raise NotFound("There is no such role any more. Choose two of those that there are.")
    return render_template("roles/compare.html", rows=rows, first=first, second=second, sides=showing.difference(first, second))


@blp.get("/can/<permission>")
@needs(Permission.ROLES_LIST)
def who_can(permission):
    return render_template("roles/who_can.html", found=queries.who_can(db.session(), g.actor, permission), groups=showing.groups())


@blp.get("/new")
@needs(Permission.ROLES_MANAGE)
def create_form(refusal=None):
    """An empty form, or with `like` one that begins with what another role allows."""
    like = request.args.get("like")
    copied = queries.detail_of(db.session(), g.actor, like).role if like and refusal is None else None
    return changing.role_form(None, refusal, copied)


@blp.post("/new")
@needs(Permission.ROLES_MANAGE)
@idempotent()
def create():
    refusals_go_to(create_form)
    role = commands.create(db.session(), g.actor, **read_form(RoleCreation))
    return go(after(role.id))


@blp.get("/<role_id>")
@needs(Permission.ROLES_LIST)
def show(role_id):
    detail = queries.get_role(db.session(), g.actor, role_id)
    timeline = timelines.timeline(list_for_object(db.session(), Role, role_id))
    groups = showing.groups(detail.role.allows)
    return render_template("roles/show.html", detail=detail, role=detail.role, groups=groups, timeline=timeline)


@blp.get("/<role_id>/change")
@needs(Permission.ROLES_MANAGE)
def change_form(role_id, refusal=None):
    return changing.role_form(queries.detail_of(db.session(), g.actor, role_id), refusal)


@blp.post("/<role_id>/change")
@needs(Permission.ROLES_MANAGE)
@idempotent()
def change(role_id):
    refusals_go_to(partial(change_form, role_id))
    wish = read_form(RoleChange)
    commands.change(db.session(), g.actor, role_id, **{"permissions": [], "description": "", **wish}, expected_version=typed_version())
    return go(after(role_id))


@blp.get("/<role_id>/delete")
@needs(Permission.ROLES_MANAGE)
def delete_form(role_id, refusal=None):
    return changing.delete_form(queries.detail_of(db.session(), g.actor, role_id), refusal)


@blp.post("/<role_id>/delete")
@needs(Permission.ROLES_MANAGE)
@idempotent()
def delete(role_id):
    refusals_go_to(partial(delete_form, role_id))
    commands.delete(db.session(), g.actor, role_id)
    return go(url_for("portal.roles.index") if g.actor.can(Permission.ROLES_LIST) else url_for("portal.home"))


def after(role_id: str) -> str:
    """The role's page, or home for somebody who may change roles and not list them."""
    return url_for("portal.roles.show", role_id=role_id) if g.actor.can(Permission.ROLES_LIST) else url_for("portal.home")
