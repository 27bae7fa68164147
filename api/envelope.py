"""The {"success", "data", "meta"} shape of every JSON answer, made once."""

from functools import cache
from typing import Any

from flask import g, has_request_context
from marshmallow import INCLUDE, Schema, fields, post_dump


class ListMeta(Schema):
    page = fields.Integer(required=True)
    page_size = fields.Integer(required=True)
    total_items = fields.Integer(required=True)
    total_pages = fields.Integer(required=True)
    summary = fields.Dict(required=True, metadata={"description": "Counts under every filter but `status`."})
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "Pass it as `cursor` to read on; null at the end."}
    )
    ignored_parameters = fields.List(fields.String(), required=True, metadata={"description": "Query parameters that do not exist here."})


class ListEnvelope(Schema):
    @post_dump
    def name_ignored(self, answer: dict[str, Any], **_: object) -> dict[str, Any]:
        ignored = g.get("ignored_parameters", []) if has_request_context() else []
        return answer | {"meta": answer.get("meta", {}) | {"ignored_parameters": ignored}}


@cache
def envelope(schema: type[Schema], *, many: bool = False, meta: type[Schema] = ListMeta) -> type[Schema]:
    """The schema of an answer with one `schema` as its data, or with a list of them and `meta`."""
    name = schema.__name__.removesuffix("Schema") + ("ListAnswer" if many else "Answer")
    shape: dict[str, Any] = {"success": fields.Constant(True, metadata={"type": "boolean", "const": True})}
    shape["data"] = fields.Nested(schema, many=many, required=True)
    if many:
        shape["meta"] = fields.Nested(meta, required=True)
    return (ListEnvelope if many else Schema).from_dict(shape, name=name)


class FieldProblem(Schema):
    field = fields.String(required=True, metadata={"description": "Where in the request, its path dotted."})
    message = fields.String(required=True)


class ErrorBody(Schema):
    class Meta:
        unknown = INCLUDE

    code = fields.String(required=True, metadata={"description": "For programs: does not change."})
    message = fields.String(required=True, metadata={"description": "For people: may change."})
    request_id = fields.String(required=True, metadata={"description": "Names the request in our logs."})
    details = fields.List(fields.Nested(FieldProblem), metadata={"description": "With VALIDATION_ERROR: what is wrong with which field."})


class ErrorAnswer(Schema):
    success = fields.Constant(False, metadata={"type": "boolean", "const": False})
    error = fields.Nested(ErrorBody, required=True)
