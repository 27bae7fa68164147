"""The time line of the moments that can be reached, drawn in `backups/_reach.html`, and the same in words and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.backups.vault import Span
from domain.db import now
from portal.charts import WIDTH
from portal.formats import day, number, when, zone

DAYS = {7: "7 days", 1: "24 hours", 30: "30 days"}
"""How far back the line goes, the first unless asked for another."""
HEIGHT = 24
LEAST = 3.0  # wide: a single moment is seen
MOST_TOLD = 3
MARKS = 7


@dataclass(frozen=True)
class Stretch:
    x: str
    width: str
    words: str
    single: bool


@dataclass(frozen=True)
class Reach:
    """`said` are the stretches in a sentence, of all time and not only of what is drawn."""

    title: str
    said: str
    stretches: Sequence[Stretch]
    marks: Sequence[str]
    spans: Sequence[Span]
    width: int = WIDTH
    height: int = HEIGHT


def draw(spans: Sequence[Span], days: int, untold: str | None = None) -> Reach:
    """`untold`: why nobody can tell now."""
    end = now()
    start = end - timedelta(days=days)
    shown = [span for span in spans if span.end >= start]
    said = f"It cannot be told now: {untold}" if untold else sentence(spans)
    return Reach(f"The last {DAYS[days]}", said, [stretch(span, start, end) for span in shown], marks(start, end), shown[::-1])


def marks(start: datetime, end: datetime) -> list[str]:
    """Days under the line, the month where it begins; of one day, hours."""
    short = end - start <= timedelta(days=1)
    count = 4 if short else MARKS
    places = [(start + (end - start) * place / count).astimezone(zone()) for place in range(count)]
    if short:
        return [f"{at:%H:%M}" for at in places] + ["now"]
    months = [None, *(at.month for at in places)]
    return [day(at) if at.month != before else str(at.day) for at, before in zip(places, months, strict=False)] + ["now"]


def stretch(span: Span, start: datetime, end: datetime) -> Stretch:
    def place(at: datetime) -> float:
        return WIDTH * min(max((at - start) / (end - start), 0), 1)

    first, last = place(span.start), place(span.end)
    width = max(last - first, LEAST)
    return Stretch(f"{min(first, WIDTH - width):.1f}", f"{width:.1f}", words(span), is_single(span))


def is_single(span: Span) -> bool:
    return span.start == span.end


def words(span: Span) -> str:
    if not is_single(span) and when(span.start) == when(span.end):
        return f"{when(span.start)}, for {(span.end - span.start).total_seconds():.0f} s"
    return when(span.start) if is_single(span) else f"{when(span.start)} to {when(span.end)}"


def sentence(spans: Sequence[Span]) -> str:
    if not spans:
        return "No moment can be reached."
    single = [span for span in spans if is_single(span)]
    stretches = [span for span in spans if not is_single(span)][::-1]
    told = [f"any moment from {words(span)}" for span in stretches[:MOST_TOLD]]
    if len(stretches) > MOST_TOLD:
        told.append(f"{number(len(stretches) - MOST_TOLD)} earlier stretches from {when(spans[0].start)} on")
    if len(single) == 1:
        told.append(f"the moment of one backup, {words(single[0])}")
    elif single:
        told.append(f"the moments of {number(len(single))} backups, from {words(single[0])} to {words(single[-1])}")
    found = "; ".join(told)
    return f"{found[0].upper()}{found[1:]}."
