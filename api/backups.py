"""/api/v1/admin/system/backup and /backups: the database, backed up."""

from typing import Any
from uuid import UUID

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.backups import BackupAskedSchema, BackupDetailSchema, BackupListMeta, BackupSchema, asked, detailed, whole
from api.outputs.jobs import JobStartedSchema, started
from domain.access import Permission
from domain.backups import commands, queries
from domain.backups.standing import find_standing
from domain.pagination import PageRequest
from web.access import needs
from web.backups import vault
from web.db import db
from web.idempotency import idempotent
from web.inputs.backups import BackupQuery, BackupRequest

blp = Blueprint("backups", __name__, url_prefix="/api/v1/admin/system", description="Backups of the database.")


@blp.post("/backup")
@needs(Permission.SYSTEM_BACKUP)
@idempotent()
@blp.arguments(BackupRequest)
@blp.response(200, envelope(BackupAskedSchema))
def backup(wish: dict[str, Any]) -> dict[str, Any]:
    """Ask for a backup; follow it as a job. Needs a fresh second factor; one an hour for the whole installation."""
    return {"data": asked(commands.request_backup(db.session(), g.actor, vault(), **wish))}


@blp.get("/backups")
@needs(Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)
@blp.arguments(BackupQuery, location="query")
@blp.response(200, envelope(BackupSchema, many=True, meta=BackupListMeta))
def index(request: PageRequest) -> dict[str, Any]:
    """List the backups, newest first; the summary says which moments can be reached."""
    return whole(queries.list_backups(g.actor, vault(), request), find_standing(vault()))


@blp.get("/backups/<uuid:backup_id>")
@needs(Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)
@blp.response(200, envelope(BackupDetailSchema))
def show(backup_id: UUID) -> dict[str, Any]:
    """One backup: what is in it, and what was compared."""
    backup = queries.get_backup(g.actor, vault(), backup_id)
    return {"data": detailed(backup, find_standing(vault()), queries.find_coverage(vault()).spans)}


@blp.post("/backups/<uuid:backup_id>/verify")
@needs(Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)
@idempotent()
@blp.response(200, envelope(JobStartedSchema))
def verify(backup_id: UUID) -> dict[str, Any]:
    """Have one put together again from what is stored and compared; follow it as a job. What was found stays with the backup."""
    return {"data": started(commands.request_verification(db.session(), g.actor, vault(), backup_id))}
