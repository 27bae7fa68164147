"""For whatever starts and watches the processes: /healthz (alive), /readyz (may be given requests), /metrics (for Prometheus)."""

import hmac

from flask import Blueprint, Response, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue

import migrations
from api.exposition import TYPE, exposed
from config import Config
from domain.health.report import Status
from web import health, limits
from web.requests import client_address

blp = Blueprint("health", __name__)


@blp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that the process answers; touches nothing."""
    return jsonify(status="ok")


@blp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether the database answers and has the schema that this code needs."""
    database, revision = health.schema_revision()
    if database.status is Status.HEALTHY:
        return jsonify(status="ready")
    if revision not in (None, migrations.newest()):
        return not_ready("The database's schema is not the one this version needs: run flask db upgrade")
    return not_ready("The database does not answer, or was never migrated: run flask db upgrade")


def not_ready(reason: str) -> ResponseReturnValue:
    return jsonify(status="not ready", reason=reason), 503


@blp.get("/metrics")
def metrics() -> ResponseReturnValue:
    """What Prometheus scrapes, for whoever sends METRICS_TOKEN; without one there is no such page."""
    settings: Config = current_app.config["PORTAL"]
    if settings.metrics_token is None:
        abort(404)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), settings.metrics_token.encode()):
        limits.spend_stranger(client_address())
        answer = Response("Send METRICS_TOKEN as Authorization: Bearer.\n", 401, mimetype="text/plain")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return answer
    return Response(exposed(*health.examine_for_metrics()), content_type=TYPE)
