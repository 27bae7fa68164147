"""What may be asked about admins, whichever door it comes through."""

from typing import Any

from marshmallow import ValidationError, validates_schema

from domain.identity.directory import AdminFilters, Standing
from web.inputs import Input, ListQuery
from web.inputs.fields import Choices, Text, Words

ROLE = {"description": "The id of a role that can be assigned.", "example": "support_agent"}


class PersonQuery(ListQuery):
    filters = AdminFilters

    role = Words(metadata={"description": "One role's id, or several with commas."})
    q = Text(max=200, metadata={"description": "Part of the name or of the e-mail address."})


class AdminQuery(PersonQuery):
    status = Choices(Standing)


class InvitationWish(Input):
    email = Text(required=True, max=320, metadata={"example": "ravi@example.com"})
    name = Text(required=True, max=200, metadata={"example": "Ravi Menon"})
    role_id = Text(data_key="role", required=True, max=50, metadata=ROLE)


class AdminChange(Input):
    role_id = Text(data_key="role", required=True, max=50, metadata=ROLE)


class NewPassword(Input):
    """A password chosen in the portal, typed twice."""

    password = Text(required=True, trimmed=False, max=1024)
    again = Text(required=True, trimmed=False, max=1024)

    @validates_schema(skip_on_field_errors=True)
    def alike(self, data: dict[str, Any], **_: object) -> None:
        if data["password"] != data["again"]:
            raise ValidationError({"again": ["This is not the same as above: type the same twice."]})


class PasswordChange(NewPassword):
    current = Text(required=True, trimmed=False, max=1024)
