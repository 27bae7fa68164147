"""/system/backups: which there are, whether they can be trusted, which moments can be reached; made and verified."""

from flask import Blueprint, g, redirect, render_template, url_for

from domain.access import Permission
from domain.backups import commands, queries
from portal.backups import listing, making, showing
from portal.errors import refusals_go_to
from portal.forms import read_form
from portal.htmx import go, page_arguments, render, unless_seen
from portal.htmx import partial as is_partial
from web.access import needs
from web.backups import vault
from web.db import db
from web.idempotency import idempotent
from web.inputs.backups import BackupRequest

blp = Blueprint("backups", __name__, url_prefix="/system/backups")

SEES = needs(Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)


@blp.get("")
@SEES
def index():
    query = listing.BackupsQuery.read(page_arguments())
    return render("backups/index.html", fragment="backups/_table.html", **listing.page_context(query))


@blp.get("/now")
@SEES
def now():
    """What the page asks for while something is under way; nothing where nothing has changed."""
    query = listing.BackupsQuery.read(page_arguments())
    if not is_partial():
        return redirect(query.url(page=query.page))
    return unless_seen(render_template("backups/_now.html", **listing.live_context(query)))


@blp.get("/new")
@needs(Permission.SYSTEM_BACKUP)
def create_form(refusal=None):
    return making.form(refusal)


@blp.post("/new")
@needs(Permission.SYSTEM_BACKUP)
@idempotent()
def create():
    refusals_go_to(create_form)
    commands.request_backup(db.session(), g.actor, vault(), **read_form(BackupRequest))
    return go(url_for("portal.backups.index"))


@blp.get("/<uuid:backup_id>")
@SEES
def show(backup_id):
    return render_template("backups/show.html", **showing.context(queries.get_backup(g.actor, vault(), backup_id)))


@blp.get("/<uuid:backup_id>/now")
@SEES
def now_one(backup_id):
    """What the page of one backup asks for while something is under way."""
    if not is_partial():
        return redirect(url_for("portal.backups.show", backup_id=backup_id))
    return unless_seen(render_template("backups/_now_one.html", **showing.context(queries.get_backup(g.actor, vault(), backup_id))))


@blp.post("/<uuid:backup_id>/verify")
@SEES
@idempotent()
def verify(backup_id):
    commands.request_verification(db.session(), g.actor, vault(), backup_id)
    return go(url_for("portal.backups.show", backup_id=backup_id))
