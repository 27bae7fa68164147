"""The queue: what its address says, and everything around its rows."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from uuid import UUID

from flask import g
from werkzeug.datastructures import MultiDict

from domain.money import is_currency
from domain.pagination import Page
from domain.refunds.models import Priority, ProcessingState, RefundStatus
from domain.refunds.queries import SECOND_APPROVAL, Dated, RefundFilters, RefundRow
from portal.formats import number, zone_words
from portal.lists import ALL, ListAddress, Reading, amount_words, at_least, reach, span, tabs
from portal.wording import PRIORITIES, REASONS, STATUSES, reason_words

MINE = "mine"
DATED_WORDS = {Dated.DECIDED: "Decided", Dated.PAID: "Paid out"}
PROCESSING_WORDS = {ProcessingState.FAILED: "failed", ProcessingState.UNKNOWN: "no answer yet"}


@dataclass(frozen=True, kw_only=True)
class ListQuery(ListAddress):
    ENDPOINT = "portal.refunds.index"

    status: str = RefundStatus.PENDING
    min: str = ""
    cur: str = ""
    reason: str = ""
    priority: str = ""
    currency: str = ""
    dated: str = ""
    awaiting: str = ""
    processing: str = ""
    user: str = ""
    vendor: str = ""

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> Self:
        query = super().read(arguments)
        return replace(query, currency="") if query.min else replace(query, cur="")

    def fielded(self) -> set[str]:
        return super().fielded() | (set() if self.min else {"min", "cur"})


def read_filters(query: ListQuery) -> tuple[RefundFilters, list[str]]:
    reading = Reading(query)
    reading.found["reason"] = query.reason or None
    if query.status != ALL:
        reading.take(lambda: {"status": (RefundStatus(query.status),)}, "There is no such status.")
    reading.take_days()
    if query.min:
        reading.take(lambda: at_least(query.min, query.cur), "Amount: choose a currency.")
    if query.priority:
        reading.take(lambda: {"priority": (Priority(query.priority),)}, "There is no such priority.")
    if query.currency:
        reading.take(lambda: {"currency": known_currency(query.currency)}, "There is no such currency.")
    if query.dated:
        reading.take(lambda: {"dated": Dated(query.dated)}, "Days are those of the request, the decision or the payout.")
    if query.awaiting == MINE:
        reading.found["approver_id"] = g.actor.admin_id
    elif query.awaiting:
        reading.found["awaiting"] = SECOND_APPROVAL
    if query.processing:
        reading.take(lambda: {"processing_state": (ProcessingState(query.processing),)}, "There is no such state.")
    for name in ("user", "vendor"):
        if getattr(query, name):
            reading.take(partial(named_id, query, name), f"There is no such {name}.")
    return RefundFilters(**reading.found), reading.refusals


def known_currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError(code)
    return code


def named_id(query: ListQuery, name: str) -> dict[str, Any]:
    return {f"{name}_id": UUID(getattr(query, name))}


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
        "tabs": tabs(query, counts, words),
        "waiting": [{"currency": currency, "amount_cents": cents} for currency, cents in summary["by_currency"].items()],
        "found_words": f"{number(counts.get(query.status, 0))} {'refund' if counts.get(query.status) == 1 else 'refunds'}",
    }


def chips(query: ListQuery, page: Page[RefundRow]) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.since or query.until:
        word = DATED_WORDS.get(query.dated, "Requested")  # type: ignore[call-overload]
        found.append({"word": word, "value": span(query), "without": query.url(since="", until="", dated="")})
    if query.currency:
        found.append({"word": "Currency", "value": query.currency, "without": query.url(currency="")})
    if query.min:
        found.append({"word": "Amount", "value": f"at least {amount_words(query.min, query.cur)}", "without": query.url(min="", cur="")})
    if query.reason:
        found.append({"word": "Reason", "value": reason_words(query.reason), "without": query.url(reason="")})
    if query.priority:
        look = PRIORITIES.get(query.priority)  # type: ignore[call-overload]
        found.append({"word": "Priority", "value": look.word if look else query.priority, "without": query.url(priority="")})
    if query.awaiting:
        awaited = "my approval" if query.awaiting == MINE else "second approval"
        found.append({"word": "Awaiting", "value": awaited, "without": query.url(awaiting="")})
    if query.processing:
        words = PROCESSING_WORDS.get(query.processing, query.processing)  # type: ignore[call-overload]
        found.append({"word": "Payment", "value": words, "without": query.url(processing="")})
    for name in ("user", "vendor"):
        if getattr(query, name):
            word = "Customer" if name == "user" else "Vendor"
            shown = getattr(page.items[0].refund, name).name if page.items else "only this one"
            found.append({"word": word, "value": shown, "without": query.url(**{name: ""})})
    return found


def currencies(page: Page[RefundRow]) -> list[str]:
    return sorted({"INR", "USD", "EUR", "GBP", "JPY", "KWD"} | set(page.summary["by_currency"]) | {row.refund.currency for row in page})


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
