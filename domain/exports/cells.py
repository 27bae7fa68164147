"""What a cell of an export may hold."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from domain.money import precision

Cell = str | int | Decimal | bool | datetime | None
Row = tuple[Cell, ...]

digits = lru_cache(maxsize=512)(precision)


def major(cents: int | None, currency: str | None) -> Decimal | None:
    """The amount in the currency's own unit, exactly: 98450 of INR are 984.50, of JPY 98450."""
    return None if cents is None or currency is None else Decimal(cents).scaleb(-digits(currency))


def masked(email: str | None) -> str | None:
    """Enough of an address to tell two apart: j***@e***.com."""
    if not email:
        return email
    name, _, domain = email.rpartition("@")
    if not name:
        return "***"
    host, dot, ending = domain.rpartition(".")
    return f"{name[:1]}***@{host[:1]}***{dot}{ending}" if dot else f"{name[:1]}***@***"
