"""Other people's text, made fit to stand among ours: names, numbers and reasons come from outside."""

from __future__ import annotations

import re
import unicodedata

NAME_LIMIT = 80
PASSAGE_LIMIT = 2000
# Overrides and isolates that are not closed would turn our own words around; direction is the HTML's business (dir="auto").
DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NOT_TEXT = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
ADDRESS_LIKE = re.compile(r"://|\bwww\.|@|[a-z0-9]\.[a-z]{2,}(?![a-z])", re.IGNORECASE)


def line(text: str, limit: int = NAME_LIMIT) -> str:
    """One line: no line break, control character or mark that turns the text around, and not longer than the limit."""
    return shortened(" ".join(visible(text[: limit * 10]).split()), limit)


def passage(text: str, limit: int = PASSAGE_LIMIT) -> str:
    """Several lines, with at most one empty line between two."""
    lines = [" ".join(visible(part).split()) for part in text[: limit * 2].splitlines()]
    return shortened(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), limit)


def greeting(name: str) -> str:
    """A salutation by name, unless the name would become a link in somebody's mailbox: accounts are free to make."""
    shown = line(name)
    return "Hello," if not shown or ADDRESS_LIKE.search(shown) else f"Dear {shown},"


def visible(text: str) -> str:
    return "".join(
        " " if unicodedata.category(character) in NOT_TEXT else character for character in text if character not in DIRECTION_MARKS
    )


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
