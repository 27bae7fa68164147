"""Reading a JSON body more strictly than `json.loads` does, once per request."""

import json
import math
import re
from typing import Any

from flask import g, request
from werkzeug.exceptions import UnsupportedMediaType

from domain.errors import DomainError

DEEPEST = 32
TOKENS = re.compile(r'["\\{}\[\]]')


class MalformedJson(DomainError):
    status, code = 400, "MALFORMED_JSON"


def read_json() -> Any:
    """The body's JSON; an empty body reads as `{}`. Refuses other media types (415) and what two readers could read differently (400)."""
    if "json_body" not in g:
        g.json_body = parse(request.get_data()) if expects_json() else {}
    return g.json_body


def expects_json() -> bool:
    if not request.content_length:
        return False
    if not request.is_json or request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType
    return True


def parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        refuse_deep(text)
        return json.loads(text, object_pairs_hook=without_twins, parse_constant=refuse_constant, parse_float=finite)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, Unacceptable) else "check its syntax"
        raise MalformedJson(f"The body is not JSON that we can read: {reason}.") from None


class Unacceptable(ValueError):
    """JSON by its syntax, and refused all the same."""


def refuse_deep(text: str) -> None:
    """Look at the nesting before anything recursive does."""
    depth, quoted, skip = 0, False, -1
    for token in TOKENS.finditer(text):
        character = token.group()
        if quoted:
            if token.start() == skip:
                continue
            if character == "\\":
                skip = token.start() + 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
            if depth > DEEPEST:
                raise Unacceptable(f"it is nested more than {DEEPEST} levels deep")
        else:
            depth -= 1


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unacceptable("a key stands in an object twice")
    return found


def refuse_constant(name: str) -> Any:
    raise Unacceptable(f"{name} is not a JSON number")


def finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unacceptable("a number is too large")
    return number


def canonical(value: Any) -> bytes:
    """The same bytes for the same JSON, however it was spaced and ordered."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
