"""What may be asked about roles, whichever door it comes through."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from domain.roles.commands import CATALOGUE
from web.inputs import Input
from web.inputs.fields import Flag, Text

NAME = {"description": "What people call the role; no two roles are called the same.", "example": "Regional finance"}


def permissions(**options: Any) -> fields.List[str]:
    return fields.List(
        Text(max=100, metadata={"enum": CATALOGUE}),
        error_messages={
            "required": "Choose at least one permission.",
            "null": "It cannot be null.",
            "invalid": "Send a list of permissions.",
        },
        metadata={"description": "`*` is all of them; there is no other pattern.", "minItems": 1},
        **options,
    )


class RoleCreation(Input):
    id = Text(
        data_key="id",
        attribute="role_id",
        max=50,
        metadata={"description": "Made of the name if left out.", "pattern": "^[a-z][a-z0-9_]{1,49}$"},
    )
    name = Text(required=True, min=1, max=100, metadata=NAME)
    description = Text(load_default="", max=500)
    permissions = permissions(required=True)


class RoleChange(Input):
    name = Text(min=1, max=100, metadata=NAME)
    description = Text(max=500)
    permissions = permissions()
    can_be_assigned = Flag(metadata={"description": "false: whoever holds it keeps it, and nobody else is given it."})

    @validates_schema
    def changes_something(self, data: dict[str, Any], **_: object) -> None:
        if not data:
            raise ValidationError("Send at least one field to change: name, description, permissions or can_be_assigned.")
