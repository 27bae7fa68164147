"""Sessions and admins as programs see them."""

from marshmallow import Schema, fields

from api.outputs.fields import Moment


class MfaSchema(Schema):
    enrolled = fields.Boolean(required=True, metadata={"description": "Whether a second factor is set up."})
    verified = fields.Boolean(required=True, metadata={"description": "Whether this session has taken the second step."})


class TokensSchema(Schema):
    access_token = fields.String(required=True, metadata={"description": "Send it as `Authorization: Bearer`."})
    token_type = fields.Constant("Bearer", metadata={"type": "string"})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds the access token lives.", "example": 900})
    refresh_token = fields.String(required=True, metadata={"description": "Good once, for the next pair; used twice, it ends the session."})
    mfa = fields.Nested(MfaSchema, required=True)


class RoleNameSchema(Schema):
    id = fields.String(required=True, metadata={"example": "finance_admin"})
    name = fields.String(required=True, metadata={"example": "Finance Admin"})


class OwnMfaSchema(MfaSchema):
    verified_at = Moment(required=True, allow_none=True)
    fresh = fields.Boolean(required=True, metadata={"description": "Whether the second step is recent enough for what needs a fresh one."})


class MeSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.Nested(RoleNameSchema, required=True)
    permissions = fields.List(fields.String(), required=True, metadata={"description": "`*` is all of them."})
    mfa = fields.Nested(OwnMfaSchema, required=True)
    timezone = fields.String(required=True)
    locale = fields.String(required=True)


class SignedOutSchema(Schema):
    signed_out = fields.Constant(True, metadata={"type": "boolean"})
    sessions_ended = fields.Integer(required=True)
