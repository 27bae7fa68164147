"""What a cell of an import file may hold, one reader per kind. Each answers the value or raises BadCell, saying what to write."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from domain import money
from domain.marketplace.csv_files import BadCell, shortened

IDENTIFIER = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
WHOLE = re.compile(r"[0-9]{1,19}")
MOST_EVIDENCE = 50
LONGEST_URL = 2000


def identifier(cell: str) -> UUID:
    if not IDENTIFIER.fullmatch(cell):
        raise BadCell(f"{shortened(cell)} is no UUID; write one such as 3f2b8c9a-0d41-4e57-9a6e-5b7c1d2e3f40")
    return UUID(cell)


def moment(cell: str) -> datetime:
    try:
        if not MOMENT.fullmatch(cell):
            raise ValueError
        return datetime.fromisoformat(cell.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadCell(f"{shortened(cell)} is no time with a zone; write one such as 2025-01-31T09:30:00Z") from None


def cents(minimum: int) -> Callable[[str], int]:
    def read(cell: str) -> int:
        value = int(cell) if WHOLE.fullmatch(cell) else -1
        if not minimum <= value <= money.LARGEST:
            raise BadCell(f"{shortened(cell)} does not fit; write minor units as a whole number from {minimum} to {money.LARGEST}")
        return value

    return read


def currency(cell: str) -> str:
    if not money.is_currency(cell):
        raise BadCell(f"{shortened(cell)} is no currency of ISO 4217; write a code such as INR")
    return cell


def one_of(choices: type[StrEnum]) -> Callable[[str], str]:
    known = {str(choice) for choice in choices}

    def read(cell: str) -> str:
        if cell not in known:
            raise BadCell(f"{shortened(cell)} is not known; write one of {', '.join(choices)}")
        return cell

    return read


def boolean(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise BadCell(f"{shortened(cell)} is neither; write true or false")
    return cell == "true"


def line(longest: int) -> Callable[[str], str]:
    """Text on one line, as names and numbers are."""
    within = text(longest)

    def read(cell: str) -> str:
        if any(unicodedata.category(character) == "Cc" for character in within(cell)):
            raise BadCell("it holds a line break or another control character; write it on one line")
        if not cell.strip():
            raise BadCell("it holds nothing but spaces; write something")
        return cell

    return read


def text(longest: int) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if "\0" in cell:
            raise BadCell("it holds a NUL character; leave it out")
        if len(cell) > longest:
            raise BadCell(f"it has {len(cell)} characters; write at most {longest}")
        return cell

    return read


def email(cell: str) -> str:
    if not ADDRESS.fullmatch(line(320)(cell)):
        raise BadCell(f"{shortened(cell)} is no e-mail address; write one such as asha@example.com")
    return cell


def evidence(cell: str) -> list[dict[str, str]]:
    """Links a customer gave; people will follow them, so nothing but https."""
    try:
        items: Any = json.loads(cell)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or len(items) > MOST_EVIDENCE:
        raise BadCell(f'it is no JSON list of at most {MOST_EVIDENCE} links; write [{{"type": "image", "url": "https://…"}}], or []')
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or set(item) != {"type", "url"} or not all(isinstance(value, str) for value in item.values()):
            raise BadCell(f'item {number} is no link; write {{"type": "image", "url": "https://…"}} and no other keys')
        if not 1 <= len(item["type"]) <= 50 or not printable(item["type"]):
            raise BadCell(f"the type of item {number} does not fit; write a word of at most 50 characters, such as image")
        if not safe_link(item["url"]):
            raise BadCell(
                f"the link of item {number}, {shortened(item['url'])}, does not fit; write one that begins with https:// and has at most "
                f"{LONGEST_URL} characters, without spaces and passwords"
            )
    return items


def safe_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    return (
        url.startswith("https://")
        and bool(host)
        and "@" not in parts.netloc
        and "\\" not in url
        and len(url) <= LONGEST_URL
        and not any(character.isspace() for character in url)
        and printable(url)
    )


def printable(value: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Cf") for character in value)
