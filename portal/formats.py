"""How values read to the person who is signed in: money, moments and numbers in their locale and zone."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_symbol
from flask import Flask, g

from domain.db import now
from domain.money import format_money


def register(app: Flask) -> None:
    for name in ("money", "when", "day", "age", "rfc3339", "number", "initials", "currency_sign"):
        app.add_template_filter(globals()[name], name)


def money(cents: int, currency: str) -> str:
    return format_money(cents, currency, g.actor.locale)


def currency_sign(currency: str) -> str:
    return get_currency_symbol(currency, g.actor.locale)


def number(value: float) -> str:
    return format_decimal(value, locale=g.actor.locale)


def when(at: datetime) -> str:
    """The whole moment, with the zone it is told in: 16 Nov 2026, 09:00 IST."""
    local = at.astimezone(zone())
    return f"{format_date(local, 'd MMM y', 'en')}, {local:%H:%M} {abbreviation(local)}"


def day(at: datetime | date) -> str:
    local = at.astimezone(zone()) if isinstance(at, datetime) else at
    return format_date(local, "d MMM" if local.year == now().astimezone(zone()).year else "d MMM y", "en")


def age(at: datetime) -> str:
    seconds = max(int((now() - at).total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 86_400 else f"{seconds // 86_400} d"


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def initials(name: str) -> str:
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()


def zone() -> tzinfo:
    return known_zone(g.actor.timezone)


@lru_cache
def known_zone(name: str) -> tzinfo:
    """The zone of that name; UTC, which the page then says, where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def zone_words() -> str:
    """The zone of the times on this page: IST (UTC+5:30)."""
    local = now().astimezone(zone())
    name, offset = local.tzname() or "", utc_offset(local)
    return f"{name} ({offset})" if name.isalpha() and name != "UTC" else offset


def abbreviation(local: datetime) -> str:
    name = local.tzname() or ""
    return name if name.isalpha() else utc_offset(local)


def utc_offset(local: datetime) -> str:
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02}" if rest else "")
