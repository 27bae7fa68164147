"""Submitted forms, read through the schemas that the JSON API uses."""

from collections.abc import Callable
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from domain.errors import Invalid
from web.inputs import from_form


def read_form(schema: type[Schema], **read: tuple[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The form through a schema, everything that is wrong with it told at once.

    `read` names form fields that are written as people write them, with the schema's field each becomes and what reads it.
    """
    given, refused = from_form(schema(), request.form), {}
    for name, (becomes, reader) in read.items():
        try:
            given[becomes] = reader(request.form.get(name, ""))
        except Invalid as error:
            refused[name] = [error.message]
            given.pop(becomes, None)
    try:
        loaded: dict[str, Any] = schema().load(given)
    except ValidationError as error:
        raise ValidationError({**error.messages_dict, **refused}) from None
    if refused:
        raise ValidationError(refused)
    return loaded


def typed_version() -> int | None:
    """The version of the row that the form was made from."""
    text = request.form.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
