"""/api/v1/admin/system/restore and /restores: a backup in place of the live data, and what came of it."""

from typing import Any
from uuid import UUID

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.restores import (
    CheckAskedSchema,
    RestoreAskedSchema,
    RestoreDetailSchema,
    RestoreSchema,
    asked,
    detailed,
    listed,
)
from domain.access import Permission
from domain.pagination import PageRequest
from domain.restores import commands, queries
from web.access import needs
from web.backups import restorer, vault
from web.db import db
from web.idempotency import idempotent
from web.inputs.backups import AcknowledgeRequest, BackupQuery, RestoreRequest, RollbackRequest

blp = Blueprint("restores", __name__, url_prefix="/api/v1/admin/system", description="Restores of the database.")


@blp.post("/restore")
@needs(Permission.SYSTEM_RESTORE)
@idempotent()
@blp.arguments(RestoreRequest)
@blp.response(200, envelope(RestoreAskedSchema))
def restore(wish: dict[str, Any]) -> dict[str, Any]:
    """Ask for a restore; follow it as a job. Needs a fresh second factor and the confirmation code; one an hour for the installation.

    Money, the audit log, used codes and ended sessions never go back. Until its report is acknowledged no refund is approved or paid.
    """
    return {"data": asked(commands.request_restore(db.session(), g.actor, vault(), restorer(), **wish))}


@blp.get("/restores")
@needs(Permission.SYSTEM_RESTORE, Permission.SYSTEM_BACKUP)
@blp.arguments(BackupQuery, location="query")
@blp.response(200, envelope(RestoreSchema, many=True))
def index(request: PageRequest) -> dict[str, Any]:
    """List restores and rollbacks, newest first."""
    page = queries.list_restores(db.session(), g.actor, request)
    return {"data": [listed(row) for row in page], "meta": page.meta}


@blp.get("/restores/<uuid:restore_id>")
@needs(Permission.SYSTEM_RESTORE, Permission.SYSTEM_BACKUP)
@blp.response(200, envelope(RestoreDetailSchema))
def show(restore_id: UUID) -> dict[str, Any]:
    """One restore: what was carried forward, what was left out, and what the gateways say of the refunds."""
    return {"data": detailed(queries.get_restore(db.session(), g.actor, restorer(), restore_id))}


@blp.post("/restores/<uuid:restore_id>/check")
@needs(Permission.SYSTEM_RESTORE)
@idempotent()
@blp.response(200, envelope(CheckAskedSchema))
def check(restore_id: UUID) -> dict[str, Any]:
    """Have the refunds compared with the gateways once more; follow it as a job."""
    job = commands.request_check(db.session(), g.actor, restore_id)
    return {"data": {"job_id": job.id, "status": "pending"}}


@blp.post("/restores/<uuid:restore_id>/acknowledge")
@needs(Permission.SYSTEM_RESTORE)
@idempotent()
@blp.arguments(AcknowledgeRequest)
@blp.response(200, envelope(RestoreSchema))
def acknowledge(said: dict[str, Any], restore_id: UUID) -> dict[str, Any]:
    """Say that the report was read: approvals and payouts go on. Needs a fresh second factor."""
    return {"data": listed(commands.acknowledge(db.session(), g.actor, restore_id, **said))}


@blp.post("/restores/<uuid:restore_id>/rollback")
@needs(Permission.SYSTEM_RESTORE)
@idempotent()
@blp.arguments(RollbackRequest)
@blp.response(200, envelope(RestoreAskedSchema))
def rollback(wish: dict[str, Any], restore_id: UUID) -> dict[str, Any]:
    """Put back what the restore replaced, within 72 hours; follow it as a job. Needs a fresh second factor and the confirmation code."""
    return {"data": asked(commands.request_rollback(db.session(), g.actor, restorer(), restore_id, **wish))}
