"""`flask admin`: who may sign in."""

import json
import sys
from uuid import UUID

import click
from flask import current_app
from flask.cli import AppGroup

from domain.access import operator
from domain.identity import admins, directory, invitations
from domain.identity.models import Admin
from web.auth import identity
from web.db import db

admin = AppGroup("admin", help="Who may sign in.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
password_from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")


@admin.command("create")
@click.argument("email")
@click.option("--name", required=True)
@click.option("--role", required=True, help="Such as super_admin, finance_admin, support_agent.")
@password_from_stdin
@click.option("--totp", is_flag=True, help="Give a second factor at once, and print its secret.")
@as_json
def create(email: str, name: str, role: str, password_stdin: bool, totp: bool, as_json: bool) -> None:
    """Make an admin who may sign in at once.

    \b
    Example: flask admin create asha@example.com --name "Asha Rao" --role finance_admin
    """
    password = read_password(password_stdin)
    made = admins.create(db.session(), operator(), identity().passwords, email=email, name=name, role_id=role, password=password)
    enrolment = admins.enrol(db.session(), operator(), identity().sealer, made) if totp else None
    db.session.commit()
    if as_json:
        facts = {"id": str(made.id), "email": made.email, "role": made.role_id, "totp_secret": enrolment.secret if enrolment else None}
        click.echo(json.dumps(facts | ({"otpauth_url": enrolment.otpauth_url} if enrolment else {}), ensure_ascii=False))
        return
    click.echo(f"{made.email} may sign in at {current_app.config['PORTAL'].public_url} as {made.role_id}.")
    if enrolment:
        click.echo(f"TOTP secret: {enrolment.grouped_secret}\nFor a QR code: {enrolment.otpauth_url}")


@admin.command("invite")
@click.argument("email")
@click.option("--name", required=True)
@click.option("--role", required=True, help="Such as super_admin, finance_admin, support_agent.")
@as_json
def invite(email: str, name: str, role: str, as_json: bool) -> None:
    """Ask somebody in, who then chooses the password: prints the link, good once and for three days, and mails it.

    \b
    Example: flask admin invite asha@example.com --name "Asha Rao" --role finance_admin
    """
    links = identity().links
    invitation = invitations.invite(db.session(), operator(), links, email=email, name=name, role_id=role)
    db.session.commit()
    url, until = links.url(invitation), f"{invitation.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if as_json:
        facts = {"id": str(invitation.id), "email": invitation.email, "role": invitation.role_id, "url": url, "expires_at": until}
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    click.echo(
        f"{invitation.email} is invited as {invitation.role_id}. The link, good once and until {until}, is on its way by mail too:\n{url}"
    )


@admin.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Show every admin.

    \b
    Example: flask admin list
    """
    rows = [facts_of(found) for found in directory.list_everybody(db.session(), operator())]
    if as_json:
        click.echo(json.dumps({"admins": rows}, ensure_ascii=False))
        return
    width = max((len(str(row["email"])) for row in rows), default=0)
    for row in rows:
        standing = "active" if row["active"] else "disabled"
        factor = "second factor" if row["mfa_enrolled"] else "no second factor"
        click.echo(f"{row['email']:<{width}}  {row['role']:<20}  {standing:<8}  {factor:<16}  {row['name']}")


@admin.command("set-role")
@click.argument("email")
@click.argument("role")
@as_json
def set_role(email: str, role: str, as_json: bool) -> None:
    """Give an admin another role; it counts from their next request on.

    \b
    Example: flask admin set-role asha@example.com finance_admin
    """
    found = admins.give_role(db.session(), operator(), id_of(email), role)
    say(found, f"{found.email} is {found.role_id} from now on.", as_json)


@admin.command("disable")
@click.argument("email")
@as_json
def disable(email: str, as_json: bool) -> None:
    """Shut an admin out: every session ends now, and no new one opens.

    \b
    Example: flask admin disable asha@example.com
    """
    found = admins.disable(db.session(), operator(), id_of(email))
    say(found, f"{found.email} is disabled; every session has ended.", as_json)


@admin.command("enable")
@click.argument("email")
@as_json
def enable(email: str, as_json: bool) -> None:
    """Let a disabled admin sign in again.

    \b
    Example: flask admin enable asha@example.com
    """
    found = admins.enable(db.session(), operator(), id_of(email))
    say(found, f"{found.email} may sign in again.", as_json)


@admin.command("reset-mfa")
@click.argument("email")
@as_json
def reset_mfa(email: str, as_json: bool) -> None:
    """Take a lost second factor off an admin; the next sign-in offers to set up a new one.

    \b
    Example: flask admin reset-mfa asha@example.com
    """
    found = admins.reset_mfa(db.session(), operator(), id_of(email))
    say(found, f"{found.email} has no second factor any more; every session has ended.", as_json)


@admin.command("set-password")
@click.argument("email")
@password_from_stdin
@as_json
def set_password(email: str, password_stdin: bool, as_json: bool) -> None:
    """Give an admin a new password; every session ends.

    \b
    Example: flask admin set-password asha@example.com
    """
    admin_id = id_of(email)
    password = read_password(password_stdin)
    found = admins.set_password(db.session(), operator(), identity().passwords, admin_id, password)
    say(found, f"{found.email} has a new password; every session has ended.", as_json)


def id_of(email: str) -> UUID:
    admin_id = admins.get_by_email(db.session(), operator(), email).id
    db.session.rollback()  # while somebody types a password, nothing may be locked
    return admin_id


def say(changed: Admin, sentence: str, as_json: bool) -> None:
    db.session.commit()
    click.echo(json.dumps(facts_of(changed), ensure_ascii=False) if as_json else sentence)


def facts_of(found: Admin) -> dict[str, object]:
    return {
        "id": str(found.id),
        "email": found.email,
        "name": found.name,
        "role": found.role_id,
        "active": found.active,
        "mfa_enrolled": found.mfa_enrolled,
    }


def read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at: pipe the password in and add --password-stdin.")
    return click.prompt("Password", hide_input=True, confirmation_prompt="The same again")
