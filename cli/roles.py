"""`flask roles`: who may do what."""

import json

import click
from flask.cli import AppGroup

from domain.access import operator
from domain.db import read_only
from domain.roles import queries
from web.db import db

roles = AppGroup("roles", help="What each role may do, and who may do what.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


@roles.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show every role: how many active admins hold it, and its permissions.

    \b
    Example: flask roles list
    """
    with read_only():
        rows = queries.list_roles(db.session(), operator())
    if as_json:
        facts = [
            {"id": row.role.id, "name": row.role.name, "user_count": row.user_count, "permissions": row.role.permissions} for row in rows
        ]
        click.echo(json.dumps({"roles": facts}, ensure_ascii=False))
        return
    width = max(len(row.role.id) for row in rows)
    for row in rows:
        allowed = "everything" if row.role.allows_everything else ", ".join(row.role.permissions)
        click.echo(f"{row.role.id:<{width}}  {row.user_count:>3}  {allowed}")


@roles.command("can")
@click.argument("permission")
@as_json
def can(permission: str, as_json: bool) -> None:
    """Say who may do this: the roles that allow it, and the active admins who hold them.

    \b
    Example: flask roles can refunds:approve
    """
    with read_only():
        found = queries.who_can(db.session(), operator(), permission)
    admins = found.admins or []
    if as_json:
        holders = [{"id": str(admin.id), "email": admin.email, "role": admin.role_id} for admin in admins]
        facts = {"permission": found.permission.value, "roles": [row.role.id for row in found.roles], "admins": holders}
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    click.echo(f"{found.permission.description} ({found.permission.value}): {len(admins)} of the active admins")
    width = max((len(admin.email) for admin in admins), default=0)
    for admin in admins:
        click.echo(f"{admin.email:<{width}}  {admin.role_id}")
