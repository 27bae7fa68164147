"""The page's parts: each number with the address of the rows behind it, the days as bars."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.health.report import Health
from domain.jobs.models import JobStatus
from domain.overview import waiting, week
from domain.overview.waiting import Undecided
from domain.refunds.models import ProcessingState, RefundStatus
from domain.refunds.queries import Dated
from portal.charts import Chart, Series, bar_chart
from portal.formats import day, number, zone, zone_words
from portal.health.showing import STATUSES as HEALTH_LOOKS
from portal.health.showing import heading
from portal.jobs.listing import LATELY_ENDED, JobsQuery
from portal.lists import ALL, today_here
from portal.refunds.listing import MINE, ListQuery

DAYS = 7
LATE_AFTER = 3
"""Days a request may wait before it stands out."""


@dataclass(frozen=True)
class Count:
    """A number, what it counts, and where the rows are."""

    number: int
    word: str
    url: str
    icon: str = ""
    tone: str = "neutral"


@dataclass(frozen=True)
class Line:
    """What waits in one currency."""

    undecided: Undecided
    all: Count
    ages: list[Count]


@dataclass(frozen=True)
class Week:
    """A chart, and under it how many over all days, and for how much in each currency."""

    chart: Chart
    count: Count
    sum_word: str
    sums: dict[str, int]


def context(session: Session, actor: Actor) -> dict[str, Any]:
    lines = undecided(session, actor) if actor.can(Permission.REFUNDS_LIST) else []
    others = [count for count in others_waiting(session, actor) if count.number]
    return {
        "lines": lines,
        "others": others,
        "waiting_count": sum(line.all.number for line in lines),
        "decides": actor.can(Permission.REFUNDS_APPROVE),
        "weeks": weeks(session, actor) if actor.can(Permission.REFUNDS_LIST) else [],
        "zone": zone_words(),
        "sees_health": actor.can(Permission.SYSTEM_HEALTH),
    }


def undecided(session: Session, actor: Actor) -> list[Line]:
    today = today_here()
    recent = today - timedelta(days=LATE_AFTER)
    return [line(found, today, recent) for found in waiting.list_undecided(session, actor, [start_of(today), start_of(recent)])]


def line(found: Undecided, today: date, recent: date) -> Line:
    here = ListQuery(status=RefundStatus.PENDING, currency=found.currency)
    fresh, lately, late = found.ages
    yesterday = today - timedelta(days=1)
    ages = [
        Count(fresh, "today", here.url(since=today.isoformat())),
        Count(lately, f"of the {LATE_AFTER} days before", here.url(since=recent.isoformat(), until=yesterday.isoformat())),
        Count(late, "older", here.url(until=(recent - timedelta(days=1)).isoformat()), "clock", "danger"),
    ]
    return Line(found, Count(found.count, "waiting", here.url()), [count for count in ages if count.number])


def others_waiting(session: Session, actor: Actor) -> list[Count]:
    found = []
    if actor.can(Permission.REFUNDS_APPROVE):
        mine = waiting.count_my_approvals(session, actor)
        found.append(Count(mine, "for your second approval", ListQuery(awaiting=MINE).url(), "users-round", "info"))
    if actor.can(Permission.REFUNDS_LIST):
        troubled = waiting.count_troubled(session, actor)
        failed, unknown = troubled[ProcessingState.FAILED], troubled[ProcessingState.UNKNOWN]
        failed_words = "payment failed" if failed == 1 else "payments failed"
        found.append(Count(failed, failed_words, trouble(ProcessingState.FAILED), "circle-alert", "danger"))
        found.append(Count(unknown, "without a certain answer", trouble(ProcessingState.UNKNOWN), "hourglass", "warning"))
    if actor.can(Permission.JOBS_LIST) or actor.can(Permission.JOBS_LIST_ALL):
        jobs = waiting.count_failed_jobs(session, actor)
        url = JobsQuery(status=JobStatus.FAILED, ended=LATELY_ENDED).url()
        found.append(Count(jobs, f"{'job' if jobs == 1 else 'jobs'} failed in 24 h", url, "layers", "danger"))
    return found


def trouble(state: ProcessingState) -> str:
    return ListQuery(status=ALL, processing=state).url()


def start_of(at: date) -> datetime:
    return datetime.combine(at, time(), zone())


def weeks(session: Session, actor: Actor) -> list[Week]:
    first = today_here() - timedelta(days=DAYS - 1)
    days = [first + timedelta(days=place) for place in range(DAYS)]
    found = week.summarise_days(session, actor, [start_of(at) for at in (*days, days[-1] + timedelta(days=1))])
    here = ListQuery(status=ALL, since=first.isoformat(), until=days[-1].isoformat())
    decided = here.url(dated=Dated.DECIDED)
    approved, rejected = found.approved, found.rejected
    return [
        Week(
            bars("Requested", days, [Series("Requested", found.requested.counts)]),
            Count(found.requested.total, "requested", here.url()),
            "Requested",
            found.requested.by_currency,
        ),
        Week(
            bars("Decided", days, [Series("Approved", approved.counts), Series("Rejected", rejected.counts, "muted")]),
            Count(approved.total + rejected.total, f"decided, {number(rejected.total)} of them rejected", decided),
            "Approved",
            approved.by_currency,
        ),
        Week(
            bars("Paid out", days, [Series("Paid out", found.paid.counts)]),
            Count(found.paid.total, "paid out", here.url(dated=Dated.PAID)),
            "Paid out",
            found.paid.by_currency,
        ),
    ]


def bars(title: str, days: list[date], series: list[Series]) -> Chart:
    total = int(sum(sum(value or 0 for value in one.values) for one in series))
    return bar_chart(
        title,
        [day(at) for at in days],
        series,
        heading="Day",
        marks=[f"{at:%a}" for at in days[:-1]] + ["today"],
        summary=f"{title} in the last {DAYS} days: {number(total)} refunds.",
        nothing=f"None in the last {DAYS} days.",
    )


def health_line(health: Health | None) -> dict[str, Any] | None:
    return {"look": HEALTH_LOOKS[health.status], "said": heading(health)["said"]} if health else None
