"""/api/v1/admin/audit: the record of who did what, and whether it is whole."""

from typing import Any
from uuid import UUID

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.audit import AuditEntrySchema, ChainSchema, chain_facts, listed
from api.outputs.jobs import JobStartedSchema, started
from domain.access import Permission
from domain.audit import checks, queries
from domain.audit.queries import AuditFilters
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.audit import AuditQuery

blp = Blueprint("audit", __name__, url_prefix="/api/v1/admin/audit", description="Who did what, and when.")


@blp.get("")
@needs(Permission.AUDIT_LIST)
@blp.arguments(AuditQuery, location="query")
@blp.response(200, envelope(AuditEntrySchema, many=True))
def index(filters: AuditFilters) -> dict[str, Any]:
    """List the entries of the audit log, newest first."""
    page = queries.list_entries(db.session(), g.actor, filters)
    return {"data": [listed(entry) for entry in page], "meta": page.meta}


@blp.get("/<uuid:entry_id>")
@needs(Permission.AUDIT_LIST)
@blp.response(200, envelope(AuditEntrySchema))
def show(entry_id: UUID) -> dict[str, Any]:
    """One entry of the audit log."""
    return {"data": listed(queries.get_entry(db.session(), g.actor, entry_id))}


@blp.get("/chain")
@needs(Permission.AUDIT_LIST)
@blp.response(200, envelope(ChainSchema))
def chain() -> dict[str, Any]:
    """The end of the log's chain of hashes, and what its last verification found.

    Note the end elsewhere from time to time: held against the log later (`flask audit verify --noted`) it shows whether entries were
    cut off or written anew since.
    """
    return {"data": chain_facts(db.session(), g.actor)}


@blp.post("/verify")
@needs(Permission.AUDIT_LIST)
@idempotent()
@blp.response(200, envelope(JobStartedSchema))
def verify() -> dict[str, Any]:
    """Have every link of the log computed anew; the worker does it once a day without being asked."""
    return {"data": started(checks.ask(db.session(), g.actor))}
