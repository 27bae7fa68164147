"""Restores: asked for in three steps, followed, and the report after them. The id of a restore is that of its job."""

from functools import partial

from flask import Blueprint, g, redirect, render_template, request, url_for

from domain.access import Permission
from domain.backups.standing import find_standing, restorable
from domain.restores import commands
from domain.restores.guard import frozen_by
from portal.errors import refusals_go_to
from portal.forms import read_form
from portal.htmx import go, unless_seen
from portal.htmx import partial as is_partial
from portal.restores import acting, asking, reporting
from web.access import needs
from web.backups import restorer, vault
from web.db import db
from web.idempotency import idempotent
from web.inputs.backups import AcknowledgeRequest, RollbackRequest

blp = Blueprint("restores", __name__, url_prefix="/system")

RESTORES = needs(Permission.SYSTEM_RESTORE)
SEES = needs(Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)


@blp.get("/backups/moment")
@RESTORES
def pick():
    """From a moment to the backup that a restore of it begins with; before the first to that one, whose page says from when on."""
    moment = asking.read_moment(request.args)
    standing = find_standing(vault())
    manifest = standing.before(moment) or next(reversed(restorable(standing.manifests)), None) if moment else None
    if not moment or not manifest:
        return redirect(url_for("portal.backups.index"))
    return redirect(url_for("portal.restores.ask", backup_id=manifest.id, step=2, moment=asking.written(moment)))


@blp.get("/backups/<uuid:backup_id>/restore")
@RESTORES
def ask(backup_id, refusal=None):
    return asking.page(backup_id, refusal)


@blp.post("/backups/<uuid:backup_id>/restore")
@RESTORES
@idempotent()
def restore(backup_id):
    refusals_go_to(partial(ask, backup_id))
    asked = commands.request_restore(
        db.session(),
        g.actor,
        vault(),
        restorer(),
        backup_id=backup_id,
        confirmation_code=request.form.get("confirmation_code", ""),
        target_timestamp=asking.read_moment(request.form),
        include_uploads="without_uploads" not in request.form,
    )
    return go(url_for("portal.restores.show", restore_id=asked.job.id))


@blp.get("/restores/<uuid:restore_id>")
@SEES
def show(restore_id):
    return render_template("restores/show.html", **reporting.context(restore_id))


@blp.get("/restores/<uuid:restore_id>/now")
@SEES
def now(restore_id):
    """What the page asks for while the restore runs, and while the gateways are asked afterwards."""
    if not is_partial():
        return redirect(url_for("portal.restores.show", restore_id=restore_id))
    return unless_seen(render_template("restores/_now.html", **reporting.context(restore_id)))


@blp.get("/restores/<uuid:restore_id>/acknowledge")
@RESTORES
def acknowledge_form(restore_id, refusal=None):
    return acting.acknowledge_form(restore_id, refusal)


@blp.post("/restores/<uuid:restore_id>/acknowledge")
@RESTORES
@idempotent()
def acknowledge(restore_id):
    refusals_go_to(partial(acknowledge_form, restore_id))
    commands.acknowledge(db.session(), g.actor, restore_id, **read_form(AcknowledgeRequest))
    return go(url_for("portal.restores.show", restore_id=restore_id))


@blp.get("/restores/<uuid:restore_id>/rollback")
@RESTORES
def rollback_form(restore_id, refusal=None):
    return acting.rollback_form(restore_id, refusal)


@blp.post("/restores/<uuid:restore_id>/rollback")
@RESTORES
@idempotent()
def rollback(restore_id):
    refusals_go_to(partial(rollback_form, restore_id))
    asked = commands.request_rollback(db.session(), g.actor, restorer(), restore_id, **read_form(RollbackRequest))
    return go(url_for("portal.restores.show", restore_id=asked.job.id))


@blp.post("/restores/<uuid:restore_id>/check")
@RESTORES
@idempotent()
def check(restore_id):
    """Have the refunds compared with the gateways once more."""
    commands.request_check(db.session(), g.actor, restore_id)
    return go(url_for("portal.restores.show", restore_id=restore_id))


@blp.app_template_global()
def frozen_restore() -> dict[str, str | None] | None:
    """The restore that keeps approvals frozen, with its page for those who may open it; looked up once for a page."""
    if "frozen_by" not in g:
        g.frozen_by = frozen_by(db.session())
    if g.frozen_by is None:
        return None
    sees = g.actor.can(Permission.SYSTEM_BACKUP) or g.actor.can(Permission.SYSTEM_RESTORE)
    return {"url": url_for("portal.restores.show", restore_id=g.frozen_by) if sees else None}
