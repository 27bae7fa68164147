"""The audit log as programs see it."""

from typing import Any

from marshmallow import Schema, fields, validate
from sqlalchemy.orm import Session

from api.outputs.fields import Moment
from domain.access import Actor
from domain.audit.checks import last_verification
from domain.audit.differences import Kind, differences
from domain.audit.models import AuditEntry
from domain.audit.verification import get_head


class AuditActor(Schema):
    id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null for the system, an operator and whoever is not signed in."}
    )
    name = fields.String(required=True)


class AuditObject(Schema):
    type = fields.String(required=True)
    id = fields.String(required=True, allow_none=True)


class AuditChange(Schema):
    field = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)
    added = fields.List(fields.Raw(), required=True, allow_none=True, metadata={"description": "Of two lists, the items that came."})
    removed = fields.List(fields.Raw(), required=True, allow_none=True, metadata={"description": "Of two lists, the items that went."})


class AuditEntrySchema(Schema):
    id = fields.UUID(required=True)
    sequence = fields.Integer(required=True, metadata={"description": "The entry's place in the chain."})
    created_at = Moment(required=True)
    action = fields.String(required=True, metadata={"example": "refund.approved"})
    actor = fields.Nested(AuditActor, required=True)
    object = fields.Nested(AuditObject, required=True, allow_none=True)
    before = fields.Dict(required=True, allow_none=True)
    after = fields.Dict(required=True, allow_none=True)
    changes = fields.List(fields.Nested(AuditChange), required=True, metadata={"description": "`before` and `after`, field by field."})
    details = fields.Dict(required=True)
    ip = fields.String(required=True, allow_none=True)
    user_agent = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True, allow_none=True)
    previous_hash = fields.String(required=True)
    hash = fields.String(required=True, metadata={"description": "SHA-256 over this entry and `previous_hash`."})


class ChainLink(Schema):
    sequence = fields.Integer(required=True)
    hash = fields.String(required=True)


class ChainVerification(Schema):
    at = Moment(required=True)
    by = fields.String(required=True)
    whole = fields.Boolean(required=True)
    entries = fields.Integer(required=True, metadata={"description": "How many held."})
    broken_at = fields.Integer(required=True, allow_none=True, metadata={"description": "The first entry that did not."})
    what = fields.String(required=True, allow_none=True, metadata={"description": "What is wrong with it."})


class ChainSchema(Schema):
    head = fields.Nested(ChainLink, required=True)
    last_verification = fields.Nested(ChainVerification, required=True, allow_none=True)


COMPUTED = ("actor", "object", "changes")


def chain_facts(session: Session, actor: Actor) -> dict[str, Any]:
    return {"last_verification": last_verification(session, actor), "head": get_head(session)}


def listed(entry: AuditEntry) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in AuditEntrySchema._declared_fields if name not in COMPUTED},
        "changes": differences(entry),
        "actor": {"id": entry.actor_id, "name": entry.actor_name},
        "object": {"type": entry.object_type, "id": entry.object_id} if entry.object_type else None,
    }
