"""What an export takes over from the list it is started on: the list's filters, as parameters of the job and in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import g

from domain.exports.request import NARROWING, ReportType
from domain.money import format_money, is_currency
from portal.lists import ListAddress
from portal.referrals import listing as referrals
from portal.refunds import listing as refunds


@dataclass(frozen=True)
class Source:
    """A list that can be exported as it is filtered."""

    address: type[ListAddress]
    read_filters: Callable[[Any], tuple[Any, list[str]]]
    words: dict[str, str]


SOURCES = {
    ReportType.REFUNDS: Source(
        refunds.ListQuery,
        refunds.read_filters,
        {
            "status": "Status",
            "q": "Search",
            "awaiting": "Awaiting",
            "dated": "Days of",
            "approver_id": "Awaiting approval by",
            "processing_state": "Payment",
            "reason": "Reason",
            "priority": "Priority",
            "user_id": "Customer",
            "vendor_id": "Vendor",
        },
    ),
    ReportType.REFERRALS: Source(
        referrals.ReferralsQuery,
        referrals.read_filters,
        {
            "status": "Status",
            "q": "Search",
            "payout_status": "Payout",
            "risk": "Risk",
            "referrer_id": "Referrer",
            "referred_id": "Referred user",
        },
    ),
}


def parameters_of(report: ReportType, address: ListAddress) -> dict[str, str]:
    """The list's filters as the parameters of an export. What made no sense in the address narrows nothing."""
    filters, _ = SOURCES[report].read_filters(address)
    told = {name: getattr(filters, name) for name in NARROWING[report]}
    return {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in told.items() if value}


def in_words(report: ReportType, told: dict[str, str]) -> list[dict[str, str]]:
    """The parameters that narrow an export, as the list calls them."""
    found, words = [], SOURCES[report].words
    for name, value in told.items():
        if name == "min_amount" and is_currency(told.get("currency", "")) and value.isdigit():
            found.append({"word": "Amount", "value": f"at least {format_money(int(value), told['currency'], g.actor.locale)}"})
        elif name == "currency" and "min_amount" not in told:
            found.append({"word": "Currency", "value": value})
        elif name not in ("min_amount", "currency"):
            found.append({"word": words[name], "value": "only this one" if name.endswith("_id") else plain(name, value)})
    return found


def plain(name: str, value: str) -> str:
    return value if name == "q" else value.replace("_", " ").replace(",", ", ").capitalize()
