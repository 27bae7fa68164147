"""What every list page shares: an address that people can share, days in their zone, pages, and what is picked from it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from flask import g, url_for
from werkzeug.datastructures import MultiDict

from domain.db import now
from domain.errors import Invalid
from domain.money import format_money, is_currency, parse_amount
from domain.pagination import Page
from portal.formats import day, zone

ALL = "all"
UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
PUBLIC = {"since": "from", "until": "to"}
LOCAL = {public: name for name, public in PUBLIC.items()}


@dataclass(frozen=True, kw_only=True)
class ListAddress:
    """The address of a list: days in the reader's zone, amounts in major units. Blank means unfiltered; what is as it comes is left out."""

    status: str = ALL
    q: str = ""
    since: str = ""
    until: str = ""
    page: str = "1"

    ENDPOINT: ClassVar[str]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return (*(field.name for field in fields(cls) if field.name != "page"), "page")

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> Self:
        given = {name: UNSAFE.sub("", arguments.get(PUBLIC.get(name, name), ""))[:200].strip() for name in cls.names()}
        return cls(**{name: value for name, value in given.items() if value})

    def url(self, endpoint: str = "", **changes: str) -> str:
        """The address with these changes; a change of anything but the page starts again at the first one."""
        changed = replace(self, **{"page": "1", **changes})
        return url_for(endpoint or self.ENDPOINT, **changed.arguments())

    def arguments(self) -> dict[str, Any]:
        plain = type(self)()
        return {PUBLIC.get(name, name): getattr(self, name) for name in self.names() if getattr(self, name) != getattr(plain, name)}

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the filter form has no field for while it is set, so that sending the form keeps it."""
        fielded = self.fielded()
        return [(name, value) for name, value in self.arguments().items() if LOCAL.get(name, name) not in fielded]

    def fielded(self) -> set[str]:
        """What the filter form has fields for as the address stands."""
        return {"status", "q", "page"} | (set() if self.since or self.until else {"since", "until"})

    @property
    def filtered(self) -> bool:
        return any(getattr(self, name) for name in self.names() if name not in ("status", "page"))

    @property
    def page_number(self) -> int:
        return int(self.page) if re.fullmatch(r"[1-9][0-9]{0,8}", self.page) else 1

    @property
    def presets(self) -> list[dict[str, str]]:
        """Spans up to today."""
        spans = {"Today": 1, "Last 7 days": 7, "Last 30 days": 30}
        first = {word: today_here() - timedelta(days=days - 1) for word, days in spans.items()}
        return [{"word": word, "url": self.url(since=since.isoformat(), until="")} for word, since in first.items()]


class Reading:
    """Filters for the domain read from an address, and a sentence for each part of it that makes no sense."""

    def __init__(self, address: ListAddress):
        self.address = address
        self.found: dict[str, Any] = {"q": address.q or None, "page": address.page_number}
        self.refusals: list[str] = []

    def take(self, read: Callable[[], dict[str, Any]], otherwise: str) -> None:
        try:
            self.found.update(read())
        except (ValueError, OverflowError):
            self.refusals.append(otherwise)
        except Invalid as error:
            self.refusals.append(error.message)

    def take_days(self) -> None:
        if self.address.since:
            self.take(lambda: {"from_": start_of(self.address.since)}, "From: choose a day.")
        if self.address.until:
            self.take(lambda: {"to": start_of(self.address.until, days=1)}, "To: choose a day.")
        if self.found.get("from_") and self.found.get("to") and self.found["from_"] >= self.found["to"]:
            self.refusals.append("From comes after To.")


def start_of(text: str, days: int = 0) -> datetime:
    """Where that day begins for the person who reads: days are 23 or 25 hours long where the clock changes."""
    return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(), zone())


def today_here() -> date:
    return now().astimezone(zone()).date()


def span(address: ListAddress) -> str:
    """The days of the address in words."""
    since_text, until_text = address.since, address.until
    if not until_text:
        for days, words in ((1, "today"), (7, "last 7 days"), (30, "last 30 days")):
            if since_text == (today_here() - timedelta(days=days - 1)).isoformat():
                return words
    try:
        since, until = (day(date.fromisoformat(text)) if text else "" for text in (since_text, until_text))
    except ValueError:
        return f"{since_text} – {until_text}"
    if since and until:
        return since if since == until else f"{since} – {until}"
    return f"from {since}" if since else f"until {until}"


def reach(page: Page[Any]) -> dict[str, int]:
    first = (page.request.page - 1) * page.request.page_size
    return {
        "first": first + 1 if page.items else 0,
        "last": first + len(page.items),
        "total": page.total_items,
        "page": page.request.page,
        "count": page.total_pages,
    }


def tabs(address: ListAddress, counts: dict[str, int], words: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "word": word, "count": counts[name], "current": address.status == name, "url": address.url(status=name)}
        for name, word in words.items()
    ]


def picked(arguments: MultiDict[str, str]) -> list[UUID]:
    """The ids of a selection: one `ids` each from a form, or one with commas from the page's own script. At most a page of them."""
    found = []
    for text in ",".join(arguments.getlist("ids"))[:8000].split(",")[:200]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def at_least(least: str, currency: str) -> dict[str, Any]:
    """The filter for an amount that was typed. Raises Invalid or ValueError."""
    if not is_currency(currency):
        raise ValueError(currency)
    return {"min_amount": parse_amount(least, currency, g.actor.locale), "currency": currency}


def amount_words(least: str, currency: str) -> str:
    """It as money, or as it was typed where it is none."""
    try:
        cents = at_least(least, currency)["min_amount"]
    except (Invalid, ValueError):
        return f"{least} {currency}"
    return format_money(cents, currency, g.actor.locale)
