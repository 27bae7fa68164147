"""The audit log as programs see it."""

from typing import Any

from marshmallow import Schema, fields

from api.outputs.fields import Moment
from domain.audit.models import AuditEntry


class AuditActor(Schema):
    id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null for the system, an operator and whoever is not signed in."}
    )
    name = fields.String(required=True)


class AuditObject(Schema):
    type = fields.String(required=True)
    id = fields.String(required=True, allow_none=True)


class AuditEntrySchema(Schema):
    id = fields.UUID(required=True)
    sequence = fields.Integer(required=True, metadata={"description": "The entry's place in the chain."})
    created_at = Moment(required=True)
    action = fields.String(required=True, metadata={"example": "refund.approved"})
    actor = fields.Nested(AuditActor, required=True)
    object = fields.Nested(AuditObject, required=True, allow_none=True)
    before = fields.Dict(required=True, allow_none=True)
    after = fields.Dict(required=True, allow_none=True)
    details = fields.Dict(required=True)
    ip = fields.String(required=True, allow_none=True)
    user_agent = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True, allow_none=True)
    previous_hash = fields.String(required=True)
    hash = fields.String(required=True, metadata={"description": "SHA-256 over this entry and `previous_hash`."})


def listed(entry: AuditEntry) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in AuditEntrySchema._declared_fields if name not in ("actor", "object")},
        "actor": {"id": entry.actor_id, "name": entry.actor_name},
        "object": {"type": entry.object_type, "id": entry.object_id} if entry.object_type else None,
    }
