"""A small noun for tests of what every noun stands on: its acts add a customer, and can be told to refuse, to wait or to die."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, g, jsonify, request
from marshmallow import Schema, fields
from sqlalchemy import func, select

from api.blueprints import Blueprint
from api.envelope import envelope
from domain import audit
from domain.access import Permission
from domain.db import now
from domain.marketplace.models import User
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs import Input, ListQuery
from web.inputs.fields import Cents, Flag, Text

PATH = "/api/v1/probes/11111111-1111-4111-8111-111111111111"


class Act(Input):
    name = Text(min=3, max=50, load_default="Asha Rao")
    amount_cents = Cents()
    polite = Flag()


class ProbeSchema(Schema):
    users = fields.Integer()
    said = fields.String()


@dataclass
class Probe:
    """What the next calls meet. `acting` and `settling` are called inside the first and the second phase."""

    acting: Callable[[], None] = lambda: None
    settling: Callable[[], None] = lambda: None
    settled: list[Any] = field(default_factory=list)

    def mount(self, app: Flask) -> None:
        blp = Blueprint("probes", __name__, url_prefix="/api/v1/probes")

        def second_phase(_provisional: Response, probe_id: Any) -> Any:
            self.settling()
            self.settled.append(probe_id)
            return jsonify(success=True, data={"users": count(), "said": "settled"})

        def act(given: dict[str, Any]) -> dict[str, Any]:
            db.session.add(User(name=given["name"], email="asha@example.com", created_at=now()))
            db.session.flush()
            audit.record(db.session(), g.actor, "probe.acted", object_type="probe")
            self.acting()
            return {"data": {"users": count(), "said": "acted"}}

        @blp.get("")
        @needs(Permission.REFUNDS_LIST)
        @blp.arguments(ListQuery, location="query")
        @blp.response(200, envelope(ProbeSchema, many=True))
        def index(asked: dict[str, Any]) -> dict[str, Any]:
            """List probes."""
            return {"data": [], "meta": {"page": asked["page"], "page_size": asked["page_size"], "total_items": 0, "total_pages": 0}}

        @blp.post("/<uuid:probe_id>/act")
        @needs(Permission.REFUNDS_APPROVE)
        @idempotent(dry_run=True)
        @blp.arguments(Act)
        @blp.response(200, envelope(ProbeSchema))
        def once(given: dict[str, Any], probe_id: Any) -> dict[str, Any]:
            """Act."""
            return act(given)

        @blp.post("/<uuid:probe_id>/decide")
        @needs(Permission.REFUNDS_APPROVE)
        @idempotent(second_phase)
        @blp.arguments(Act)
        @blp.response(200, envelope(ProbeSchema))
        def decide(given: dict[str, Any], probe_id: Any) -> dict[str, Any]:
            """Decide, then settle."""
            return act(given)

        @blp.post("/<uuid:probe_id>/guarded")
        @needs(Permission.REFUNDS_APPROVE, mfa=True)
        @idempotent()
        @blp.arguments(Act)
        @blp.response(200, envelope(ProbeSchema))
        def guarded(given: dict[str, Any], probe_id: Any) -> dict[str, Any]:
            """Act with a second factor."""
            return act(given)

        @blp.delete("/<uuid:probe_id>")
        @needs(Permission.REFUNDS_APPROVE)
        @idempotent()
        @blp.response(204)
        def delete(probe_id: Any) -> None:
            """Delete."""
            act({"name": "gone"})

        @blp.get("/broken")
        @needs()
        @blp.response(200, envelope(ProbeSchema))
        def broken() -> Any:
            """Break."""
            self.acting()
            return {"data": {"said": request.path}}

        app.extensions["flask-smorest"]["apis"][""]["ext_obj"].register_blueprint(blp)


def count() -> int:
    return db.session.scalar(select(func.count()).select_from(User)) or 0
