"""The list of referrals: what its address says, and everything around and in its rows."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from uuid import UUID

from flask import url_for
from werkzeug.datastructures import MultiDict

from domain.cache import Kept
from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.referrals.filters import ReferralFilters
from domain.referrals.queries import CONDITIONS, ReferralPage, ReferralRow, Totals
from domain.referrals.risks import RiskCode
from domain.referrals.states import ReferralState
from portal.formats import money, zone_words
from portal.lists import ALL, ListAddress, Reading, amount_words, at_least, reach, span, tabs
from portal.referrals import wording

ANY = "any"


@dataclass(frozen=True, kw_only=True)
class ReferralsQuery(ListAddress):
    ENDPOINT = "portal.referrals.index"

    min: str = ""
    cur: str = ""
    payout: str = ""
    risk: str = ""
    referrer: str = ""
    referred: str = ""

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> Self:
        query = super().read(arguments)
        return query if query.min else replace(query, cur="")

    def fielded(self) -> set[str]:
        return super().fielded() | (set() if self.min else {"min", "cur"})


def read_filters(query: ReferralsQuery) -> tuple[ReferralFilters, list[str]]:
    reading = Reading(query)
    if query.status != ALL:
        reading.take(lambda: {"status": (ReferralState(query.status),)}, "There is no such status.")
    reading.take_days()
    if query.min:
        reading.take(lambda: at_least(query.min, query.cur), "Reward: choose a currency.")
    if query.payout:
        reading.take(lambda: {"payout_status": (PayoutStatus(query.payout),)}, "There is no such payout status.")
    if query.risk:
        reading.take(lambda: {"risk": tuple(RiskCode) if query.risk == ANY else (RiskCode(query.risk),)}, "There is no such risk.")
    for name in ("referrer", "referred"):
        if getattr(query, name):
            reading.take(partial(named_id, query, name), "There is no such customer.")
    return ReferralFilters(**reading.found), reading.refusals


def named_id(query: ReferralsQuery, name: str) -> dict[str, Any]:
    return {f"{name}_id": UUID(getattr(query, name))}


def list_context(query: ReferralsQuery, page: ReferralPage, risks: Kept, refusals: list[str]) -> dict[str, Any]:
    counts = {str(state): page.summary[state] for state in ReferralState}
    counts[ALL] = sum(page.summary[status] for status in ReferralStatus)
    counts[query.status] = page.total_items  # live, as the rows below are: the one tab that could contradict them cannot
    return {
        "query": query,
        "refusals": refusals,
        "tabs": tabs(query, counts, {ALL: "All"} | {str(state): word for state, word in wording.TABS.items()}),
        "found_words": wording.counted(page.total_items),
        "counted": counted_words(page.summary_age_seconds),
        "sums": sums(page),
        "attention": attention(query, page, risks),
        "chips": chips(query, page),
        "currencies": sorted({"INR", "USD", "EUR", "GBP", "JPY", "KWD"} | set(page.summary["by_currency"])),
        "payouts": [{"word": look.word, "url": query.url(payout=status)} for status, look in wording.PAYOUTS.items()],
        "risks": [{"word": "Any of them", "url": query.url(risk=ANY)}]
        + [{"word": look.word, "url": query.url(risk=code)} for code, look in wording.RISKS.items()],
        "rows": [line(row) for row in page],
        "pages": reach(page),
        "page_url": lambda number: query.url(page=str(number)),
        "list_url": query.url(page=query.page),
        "clear_url": ReferralsQuery(status=query.status).url(),
        "zone": zone_words(),
        "nothing": nothing(query, page),
    }


def counted_words(age_seconds: int) -> str:
    if age_seconds < 5:
        return "Counted just now"
    return f"Counted {age_seconds} s ago" if age_seconds < 60 else f"Counted {age_seconds // 60} min ago"


def sums(page: ReferralPage) -> list[dict[str, Any]]:
    """What was issued and paid in each currency, never added up over two."""
    return [{"currency": currency, **cents} for currency, cents in page.summary["by_currency"].items()]


def attention(query: ReferralsQuery, page: ReferralPage, risks: Kept) -> list[dict[str, Any]]:
    """What somebody should look at, each a link to the rows behind it."""
    if query.filtered:
        return []
    failed = page.summary["payouts"][PayoutStatus.FAILED]
    found = []
    if failed:
        url = ReferralsQuery(status=ReferralState.COMPLETED, payout=PayoutStatus.FAILED).url()
        found.append(
            {
                "count": failed,
                "word": "payout failed" if failed == 1 else "payouts failed",
                "tone": "danger",
                "icon": "circle-alert",
                "url": url,
            }
        )
    for code, look in wording.RISKS.items():
        if count := risks.value[code]:
            url = ReferralsQuery(risk=code).url()
            found.append({"count": count, "word": wording.ATTENTION[code], "tone": look.tone, "icon": look.icon, "url": url})
    return found


def chips(query: ReferralsQuery, page: ReferralPage) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.since or query.until:
        found.append({"word": "Referred", "value": span(query), "without": query.url(since="", until="")})
    if query.min:
        found.append({"word": "Reward", "value": f"at least {amount_words(query.min, query.cur)}", "without": query.url(min="", cur="")})
    if query.payout:
        look = wording.PAYOUTS.get(query.payout)  # type: ignore[call-overload]
        found.append({"word": "Payout", "value": look.word.lower() if look else query.payout, "without": query.url(payout="")})
    if query.risk:
        mark = wording.RISKS.get(query.risk)  # type: ignore[call-overload]
        value = "any" if query.risk == ANY else mark.word.lower() if mark else query.risk
        found.append({"word": "Risk", "value": value, "without": query.url(risk="")})
    for name, word, person in (("referrer", "Referrer", "referrer"), ("referred", "Referred user", "referred_user")):
        if getattr(query, name):
            shown = getattr(page.items[0].referral, person).name if page.items else "only this one"
            found.append({"word": word, "value": shown, "without": query.url(**{name: ""})})
    return found


def line(row: ReferralRow) -> dict[str, Any]:
    """One referral, in words."""
    referral = row.referral
    return {
        "id": referral.id,
        "url": url_for("portal.referrals.show", referral_id=referral.id),
        "code": referral.referral_code or "No code",
        "created_at": referral.created_at,
        "referrer": person(referral.referrer, "referrer") | {"totals": totals_words(row.referrer)},
        "referred": person(referral.referred_user, "referred") | {"joined_at": referral.referred_user.created_at},
        "conditions": conditions(row),
        "met": len(CONDITIONS) - len(row.missing),
        "lacks": lacks(row),
        "look": wording.STATUSES[row.status],
        "payout": wording.PAYOUTS[PayoutStatus(referral.payout_status)],
        "due": row.status == ReferralStatus.COMPLETED,
        "reward_cents": referral.reward_amount_cents,
        "currency": referral.currency,
        "marks": [{"look": wording.RISKS[risk.code], "reason": risk.reason} for risk in row.risks],
    }


def person(user: Any, side: str) -> dict[str, Any]:
    return {
        "name": user.name,
        "email": user.email,
        "url": ReferralsQuery(**{side: str(user.id)}).url(),
        "side": "Referrer" if side == "referrer" else "Referred",
        "said": "Referrals by" if side == "referrer" else "Referrals of",
    }


def conditions(row: ReferralRow) -> list[dict[str, Any]]:
    return [{"word": word, "icon": icon, "met": name not in row.missing} for name, (word, icon) in wording.CONDITIONS.items()]


def lacks(row: ReferralRow, with_days: bool = True) -> str:
    """What a pending one waits for and how long it still can; what an expired one came short of."""
    missing = [wording.CONDITIONS[name][0].lower() for name in row.missing]
    if row.status == ReferralStatus.COMPLETED or not missing:
        return wording.days_words(row.days_left)
    words = f"lacks {missing[0]}" if len(missing) == 1 else f"lacks {', '.join(missing[:-1])} and {missing[-1]}"
    left = wording.days_words(row.days_left) if with_days else ""
    return f"{left}, {words}" if left else words.capitalize()


def totals_words(totals: Totals) -> str:
    counted = wording.counted(totals.count)
    earned = ", ".join(money(cents, currency) for currency, cents in sorted(totals.earned.items()))
    return f"{counted} · {earned} earned" if earned else counted


def nothing(query: ReferralsQuery, page: ReferralPage) -> dict[str, Any]:
    """What stands in for the rows where there are none."""
    if page.request.page > 1:
        return {"title": "This page is past the end", "hint": "", "icon": "inbox", "filtered": True}
    if query.filtered:
        return {"title": "No match", "hint": "No referral fits these filters.", "icon": "search", "filtered": True}
    title = "No referrals yet" if query.status == ALL else f"No {query.status} referrals"
    return {"title": title, "hint": "They appear here when customers bring others.", "icon": "gift", "filtered": False}


def title(query: ReferralsQuery) -> str:
    word = wording.TABS.get(query.status)  # type: ignore[call-overload]
    return f"{word} referrals" if word else "Referrals"
