"""Submitted forms, read through the schemas that the JSON API uses."""

from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema


def read_form(schema: type[Schema], **read: Any) -> dict[str, Any]:
    """A form through a schema. `read` replaces fields that a form writes differently from JSON: amounts, ticked boxes.

    Fields left blank are left out; the token and the key are not the schema's business.
    """
    known = {field.data_key or name for name, field in schema().fields.items()}
    given = {name: tidy(value) for name, value in request.form.items() if name in known}
    return schema(unknown=EXCLUDE).load({name: value for name, value in (given | read).items() if value != ""})


def tidy(text: str) -> str:
    """Line ends as one character, as JSON callers send them, without the blanks around."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def typed_version() -> int | None:
    """The version of the row that the form was made from."""
    text = request.form.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
