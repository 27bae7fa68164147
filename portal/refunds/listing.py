"""The queue: what its address says, and everything around its rows."""

import re
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from flask import g, url_for
from werkzeug.datastructures import MultiDict

from domain.db import now
from domain.errors import Invalid
from domain.money import format_money, is_currency, parse_amount
from domain.pagination import Page
from domain.refunds.models import Priority, ProcessingState, RefundStatus
from domain.refunds.queries import SECOND_APPROVAL, RefundFilters, RefundRow
from portal.formats import day, number, zone, zone_words
from portal.wording import PRIORITIES, REASONS, STATUSES, reason_words

ALL = "all"
PROCESSING_WORDS = {ProcessingState.FAILED: "failed", ProcessingState.UNKNOWN: "no answer yet"}
UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class ListQuery:
    """The address of a list as people share it: days in their zone, amounts in major units. Blank means unfiltered."""

    status: str = RefundStatus.PENDING
    q: str = ""
    since: str = ""
    until: str = ""
    min: str = ""
    cur: str = ""
    reason: str = ""
    priority: str = ""
    awaiting: str = ""
    processing: str = ""
    user: str = ""
    vendor: str = ""
    page: str = "1"

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> "ListQuery":
        given = {name: UNSAFE.sub("", arguments.get(PUBLIC.get(name, name), ""))[:200].strip() for name in NAMES}
        query = cls(**{name: value for name, value in given.items() if value})
        return query if query.min else replace(query, cur="")

    def url(self, **changes: str) -> str:
        """The address with these changes; a change of anything but the page starts again at the first one."""
        changed = replace(self, **{"page": "1", **changes})
        return url_for("portal.refunds.index", **changed.arguments())

    def arguments(self) -> dict[str, str]:
        plain = ListQuery()
        return {PUBLIC.get(name, name): getattr(self, name) for name in NAMES if getattr(self, name) != getattr(plain, name)}

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the filter form has no field for while it is set, so that sending the form keeps it."""
        shown = {"status", "q", "page"}
        if not (self.since or self.until):
            shown |= {"since", "until"}
        if not self.min:
            shown |= {"min", "cur"}
        return [(name, value) for name, value in self.arguments().items() if LOCAL.get(name, name) not in shown]

    @property
    def filtered(self) -> bool:
        return any(getattr(self, name) for name in NAMES if name not in ("status", "page"))


NAMES = tuple(field.name for field in fields(ListQuery))
PUBLIC = {"since": "from", "until": "to"}
LOCAL = {public: name for name, public in PUBLIC.items()}


def read_filters(query: ListQuery) -> tuple[RefundFilters, list[str]]:
    """The domain's filters, and a sentence for each part of the address that makes no sense."""
    refusals: list[str] = []
    found: dict[str, Any] = {"q": query.q or None, "reason": query.reason or None}

    def take(name: str, read: Any, *, otherwise: str) -> None:
        try:
            found.update(read())
        except (ValueError, OverflowError):
            refusals.append(otherwise)
        except Invalid as error:
            refusals.append(error.message)

    if query.status != ALL:
        take("status", lambda: {"status": (RefundStatus(query.status),)}, otherwise="There is no such status.")
    if query.since:
        take("from", lambda: {"from_": start_of(query.since)}, otherwise="From: choose a day.")
    if query.until:
        take("to", lambda: {"to": start_of(query.until, days=1)}, otherwise="To: choose a day.")
    if found.get("from_") and found.get("to") and found["from_"] >= found["to"]:
        refusals.append("From comes after To.")
    if query.min:
        take("min", lambda: at_least(query), otherwise="Amount: choose a currency.")
    if query.priority:
        take("priority", lambda: {"priority": (Priority(query.priority),)}, otherwise="There is no such priority.")
    if query.awaiting:
        found["awaiting"] = SECOND_APPROVAL
    if query.processing:
        take("processing", lambda: {"processing_state": (ProcessingState(query.processing),)}, otherwise="There is no such state.")
    for name in ("user", "vendor"):
        if getattr(query, name):
            take(name, lambda name=name: {f"{name}_id": UUID(getattr(query, name))}, otherwise=f"There is no such {name}.")
    page = int(query.page) if re.fullmatch(r"[1-9][0-9]{0,8}", query.page) else 1
    return RefundFilters(page=page, **found), refusals


def start_of(text: str, days: int = 0) -> datetime:
    """Where that day begins for the person who reads: days are 23 or 25 hours long where the clock changes."""
    return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(), zone())


def at_least(query: ListQuery) -> dict[str, Any]:
    if not is_currency(query.cur):
        raise ValueError(query.cur)
    return {"min_amount": parse_amount(query.min, query.cur, g.actor.locale), "currency": query.cur}


def list_context(query: ListQuery, page: Page[RefundRow], refusals: list[str]) -> dict[str, Any]:
    """All that the list's templates show around and in the table."""
    return {
        "query": query,
        "rows": page.items,
        "refusals": refusals,
        "page_url": lambda number: query.url(page=str(number)),
        "list_url": query.url(page=query.page),
        "clear_url": ListQuery(status=query.status).url(),
        "chips": chips(query, page),
        "second_approval_url": query.url(awaiting="1") if query.status in (RefundStatus.PENDING, ALL) and not query.awaiting else None,
        "presets": presets(query),
        "reasons": [{"word": reason_words(name), "url": query.url(reason=name)} for name in REASONS],
        "priorities": [{"word": look.word, "url": query.url(priority=name)} for name, look in PRIORITIES.items()],
        "currencies": currencies(page),
        "zone": zone_words(),
        "pages": reach(page),
        "nothing": nothing(query, page),
        "attention": attention(query, page),
        **tabs_context(query, page.summary),
    }


def tabs_context(query: ListQuery, summary: dict[str, Any]) -> dict[str, Any]:
    counts = {str(status): summary[status] for status in STATUSES}
    words = {str(status): look.word for status, look in STATUSES.items()} | {ALL: "All"}
    counts[ALL] = sum(counts.values())
    return {
        "tabs": [
            {"name": name, "word": word, "count": counts[name], "current": query.status == name, "url": query.url(status=name)}
            for name, word in words.items()
        ],
        "waiting": [{"currency": currency, "amount_cents": cents} for currency, cents in summary["by_currency"].items()],
        "found_words": f"{number(counts.get(query.status, 0))} {'refund' if counts.get(query.status) == 1 else 'refunds'}",
    }


def chips(query: ListQuery, page: Page[RefundRow]) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.since or query.until:
        found.append({"word": "Requested", "value": span(query), "without": query.url(since="", until="")})
    if query.min:
        found.append({"word": "Amount", "value": f"at least {readable(query)}", "without": query.url(min="", cur="")})
    if query.reason:
        found.append({"word": "Reason", "value": reason_words(query.reason), "without": query.url(reason="")})
    if query.priority:
        look = PRIORITIES.get(query.priority)  # type: ignore[call-overload]
        found.append({"word": "Priority", "value": look.word if look else query.priority, "without": query.url(priority="")})
    if query.awaiting:
        found.append({"word": "Awaiting", "value": "second approval", "without": query.url(awaiting="")})
    if query.processing:
        words = PROCESSING_WORDS.get(query.processing, query.processing)  # type: ignore[call-overload]
        found.append({"word": "Payment", "value": words, "without": query.url(processing="")})
    for name in ("user", "vendor"):
        if getattr(query, name):
            word = "Customer" if name == "user" else "Vendor"
            shown = getattr(page.items[0].refund, name).name if page.items else "only this one"
            found.append({"word": word, "value": shown, "without": query.url(**{name: ""})})
    return found


def span(query: ListQuery) -> str:
    today = now().astimezone(zone()).date()
    for preset in (7, 30):
        if query.since == (today - timedelta(days=preset - 1)).isoformat() and not query.until:
            return f"last {preset} days"
    try:
        since, until = (day(date.fromisoformat(text)) if text else "" for text in (query.since, query.until))
    except ValueError:
        return f"{query.since} – {query.until}"
    if since and until:
        return since if since == until else f"{since} – {until}"
    return f"from {since}" if since else f"until {until}"


def readable(query: ListQuery) -> str:
    try:
        cents = at_least(query)["min_amount"]
    except (Invalid, ValueError):
        return f"{query.min} {query.cur}"
    return format_money(cents, query.cur, g.actor.locale)


def presets(query: ListQuery) -> list[dict[str, str]]:
    today = now().astimezone(zone()).date()
    first = {"Today": today, "Last 7 days": today - timedelta(days=6), "Last 30 days": today - timedelta(days=29)}
    return [{"word": word, "url": query.url(since=since.isoformat(), until="")} for word, since in first.items()]


def currencies(page: Page[RefundRow]) -> list[str]:
    return sorted({"INR", "USD", "EUR", "GBP", "JPY", "KWD"} | set(page.summary["by_currency"]) | {row.refund.currency for row in page})


def reach(page: Page[RefundRow]) -> dict[str, int]:
    first = (page.request.page - 1) * page.request.page_size
    return {
        "first": first + 1 if page.items else 0,
        "last": first + len(page.items),
        "total": page.total_items,
        "page": page.request.page,
        "count": page.total_pages,
    }


def attention(query: ListQuery, page: Page[RefundRow]) -> list[dict[str, Any]]:
    """The ones a person or the gateway still owes an answer, told apart above the list."""
    said = {ProcessingState.FAILED: "payments failed", ProcessingState.UNKNOWN: "without a certain answer from the gateway"}
    if query.processing:
        return []
    counts = page.summary["processing"]
    return [
        {
            "count": counts[state],
            "word": "payment failed" if state == "failed" and counts[state] == 1 else word,
            "tone": tone,
            "icon": icon,
            "url": ListQuery(status=ALL, processing=state).url(),
        }
        for (state, word), tone, icon in zip(said.items(), ("danger", "warning"), ("circle-alert", "hourglass"), strict=True)
        if counts[state]
    ]


def nothing(query: ListQuery, page: Page[RefundRow]) -> dict[str, Any]:
    """What stands in for the rows where there are none."""
    if page.request.page > 1:
        return {"title": "This page is past the end", "icon": "inbox", "hint": "", "filtered": True}
    if query.filtered:
        return {"title": "No match", "icon": "search", "hint": "No refund fits these filters.", "filtered": True}
    words = {ALL: "No refunds yet"}
    title = words.get(query.status, f"No {query.status} refunds")
    return {"title": title, "icon": "inbox", "hint": "New requests appear here." if query.status == "pending" else "", "filtered": False}


def title(query: ListQuery) -> str:
    look = STATUSES.get(query.status)  # type: ignore[call-overload]
    return f"{look.word} refunds" if look else "Refunds"


def picked(arguments: MultiDict[str, str]) -> list[UUID]:
    """The ids of a selection: one `ids` each from a form, or one with commas from the page's own script. At most a page of them."""
    found = []
    for text in ",".join(arguments.getlist("ids"))[:8000].split(",")[:200]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found
