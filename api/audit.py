"""/api/v1/admin/audit"""

from typing import Any

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.audit import AuditEntrySchema, listed
from domain.access import Permission
from domain.audit.queries import AuditFilters, list_entries
from web.access import needs
from web.db import db
from web.inputs.audit import AuditQuery

blp = Blueprint("audit", __name__, url_prefix="/api/v1/admin/audit", description="Who did what, and when.")


@blp.get("")
@needs(Permission.AUDIT_LIST)
@blp.arguments(AuditQuery, location="query")
@blp.response(200, envelope(AuditEntrySchema, many=True))
def index(filters: AuditFilters) -> dict[str, Any]:
    """List the entries of the audit log, newest first."""
    page = list_entries(db.session(), g.actor, filters)
    return {"data": [listed(entry) for entry in page], "meta": page.meta}
