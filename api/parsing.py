"""Reading what programs send, through the schemas of web/inputs."""

from typing import Any, NoReturn

import marshmallow
from flask import Request, g
from webargs import missing
from webargs.flaskparser import FlaskParser

from web.json_bodies import read_json
from web.problems import InvalidInput

MOST_NAMED = 20


class Parser(FlaskParser):
    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        return read_json() if req.content_length else missing

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        known = {field.data_key or name for name, field in schema.load_fields.items()}
        g.ignored_parameters = [name[:100] for name in req.args if name not in known][:MOST_NAMED]
        return super().load_querystring(req, schema)

    def handle_error(self, error: marshmallow.ValidationError, *_: object, **__: object) -> NoReturn:
        messages: dict[str, Any] = error.messages  # type: ignore[assignment]  # by the place they were sent in
        raise InvalidInput({key: inner for location in messages.values() for key, inner in unfolded(location).items()})


def unfolded(messages: Any) -> dict[str, Any]:
    return messages if isinstance(messages, dict) else {"_schema": messages}
