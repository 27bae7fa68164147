"""What a terminal is shown: times, and text that it only prints."""

import json
from datetime import datetime


def moment(value: datetime | None) -> str | None:
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(value: object) -> str:
    """On one line, with nothing in it that a terminal would obey."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
