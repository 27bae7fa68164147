"""Reading what a gateway says, in answers and webhooks. All of it is foreign until it was looked at."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import NoReturn
from uuid import UUID

Object = dict[str, object]

LARGEST_AMOUNT = 2**63 - 1


class Unreadable(ValueError):
    """Not what the gateway's documentation promises; says what is wrong with it."""


def read_object(raw: bytes) -> Object:
    """The one JSON object in these bytes."""
    try:
        value = json.loads(raw.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")
    return value


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def part(of: Object, name: str) -> Object:
    value = of.get(name)
    if not isinstance(value, dict):
        raise Unreadable(f"{name} is not an object")
    return value


def text(of: Object, name: str, longest: int = 255) -> str:
    """A string that must be there and be fit to keep."""
    value = of.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or value != clean(value, longest):
        raise Unreadable(f"{name} is not a text of 1 to {longest} characters")
    return value


def text_or_none(of: Object, name: str, longest: int = 255) -> str | None:
    """A string that may be missing: cleaned and cut, None where there is nothing of use."""
    value = of.get(name)
    return clean(value, longest) or None if isinstance(value, str) else None


def amount(of: Object, name: str = "amount") -> int:
    value = of.get(name)
    if type(value) is not int or not 0 < value <= LARGEST_AMOUNT:
        raise Unreadable(f"{name} is not a whole number of minor units")
    return value


def currency(of: Object) -> str:
    value = text(of, "currency").upper()
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise Unreadable("currency is not an ISO 4217 code")
    return value


def marks(of: Object) -> tuple[UUID | None, int | None]:
    """Our refund's id and attempt, as we wrote them into the metadata (or notes) of a refund; None where they are not ours."""
    try:
        refund_id = UUID(str(of.get("refund_request_id")))
    except ValueError:
        return None, None
    number = str(of.get("attempt"))
    return refund_id, int(number) if re.fullmatch(r"[0-9]{1,9}", number) else None


def clean(value: str, longest: int) -> str:
    """One line, without control characters, invisible marks and broken halves of characters."""
    shown = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in value[: longest * 4])
    return " ".join(shown.split())[:longest]
