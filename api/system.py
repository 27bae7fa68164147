"""/api/v1/admin/system: the portal itself."""

from typing import Any

from flask import g, jsonify
from flask.typing import ResponseReturnValue

from api.blueprints import Blueprint
from api.envelope import envelope
from api.operations.system import WITHOUT_DATABASE
from api.outputs.system import HealthSchema, UnhealthyAnswer, told, told_shortly
from domain.access import Permission
from domain.health.report import Health
from web.access import needs
from web.auth import token_bearer
from web.health import even_without_database

blp = Blueprint("system", __name__, url_prefix="/api/v1/admin/system", description="The portal itself.")


def unhealthy(health: Health) -> ResponseReturnValue:
    return jsonify(success=False, data=told_shortly(health)), 503


@blp.get("/health")
@even_without_database(token_bearer, unhealthy)
@needs(Permission.SYSTEM_HEALTH)
@blp.response(200, envelope(HealthSchema))
@blp.alt_response(503, schema=UnhealthyAnswer, example=WITHOUT_DATABASE, description="The database is away")
def health() -> dict[str, Any]:
    """Say how the portal and each of its services is.

    Answered within three seconds, whatever is away. `unhealthy` (503) is a portal without its database: then the token's signature alone
    admits, and the answer says no more than who is ill. `degraded` is one without another of its services.
    """
    return {"data": told(g.health)}
