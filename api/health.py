"""For whatever starts and watches the processes: /healthz (alive) and /readyz (may be given requests)."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import migrations
from web.db import db

blp = Blueprint("health", __name__)


@blp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that the process answers; touches nothing."""
    return jsonify(status="ok")


@blp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether the database answers and has the schema that this code needs."""
    try:
        revision = db.session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except SQLAlchemyError:
        return not_ready("The database does not answer, or was never migrated: run flask db upgrade")
    if revision != migrations.newest():
        return not_ready("The database's schema is not the one this version needs: run flask db upgrade")
    return jsonify(status="ready")


def not_ready(reason: str) -> ResponseReturnValue:
    return jsonify(status="not ready", reason=reason), 503
