"""Bars as rectangles that `ui/chart.html` draws, and the same figures as a table for whoever does not see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portal.formats import number

WIDTH, HEIGHT = 600, 72
HEADROOM = 6
LEAST = 2.0  # pixels: what happened at all is seen


@dataclass(frozen=True)
class Series:
    """One colour of the bars. `tone` is main, danger or muted; a figure is None where there was nothing to measure."""

    word: str
    values: Sequence[float | None]
    tone: str = "main"


@dataclass(frozen=True)
class Piece:
    tone: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    label: str
    x: str
    pieces: Sequence[Piece]
    figures: Sequence[str]
    words: str


@dataclass(frozen=True)
class Chart:
    """`summary` says in one sentence what the bars show, `peak` how much the highest is.

    `nothing` stands in for the table where every bar is empty.
    """

    title: str
    heading: str
    series: Sequence[Series]
    bars: Sequence[Bar]
    marks: Sequence[str]
    width: str
    summary: str
    nothing: str
    peak: str
    height: int = HEIGHT
    total_width: int = WIDTH

    @property
    def filled(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.pieces]


def bar_chart(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    heading: str = "Hour",
    marks: Sequence[str] = (),
    summary: str = "",
    nothing: str = "Nothing to show.",
    figure: Callable[[float], str] = lambda value: number(round(value)),
    least_top: float = 4,
) -> Chart:
    """Stacked bars, one for each label; `marks` are the words under the axis, evenly spread.

    `least_top` is what the full height stands for at least, so that one or two do not look like many.
    """
    columns = list(zip(*(one.values for one in series), strict=True))
    highest = max((sum(value or 0 for value in column) for column in columns), default=0)
    top = max(highest, least_top)
    step = WIDTH / max(len(labels), 1)
    bars = [
        Bar(
            label,
            f"{place * step + step * 0.1:.1f}",
            stack(column, series, top),
            [told(value, figure) for value in column],
            f"{label}: {words(column, series, figure)}",
        )
        for place, (label, column) in enumerate(zip(labels, columns, strict=True))
    ]
    return Chart(title, heading, series, bars, marks, f"{step * 0.8:.1f}", summary or title, nothing, figure(highest) if highest else "")


def stack(column: Sequence[float | None], series: Sequence[Series], top: float) -> list[Piece]:
    """The rectangles of one bar, the first series at the bottom."""
    edge, pieces = float(HEIGHT), []
    for value, one in zip(column, series, strict=True):
        if value:
            high = max(value / top * (HEIGHT - HEADROOM), LEAST)
            edge -= high
            pieces.append(Piece(one.tone, f"{edge:.1f}", f"{high:.1f}"))
            edge -= 1
    return pieces


def words(column: Sequence[float | None], series: Sequence[Series], figure: Callable[[float], str]) -> str:
    if len(series) == 1:
        return told(column[0], figure)
    return ", ".join(f"{told(value, figure)} {one.word.lower()}" for value, one in zip(column, series, strict=True))


def told(value: float | None, figure: Callable[[float], str]) -> str:
    return "—" if value is None else figure(value)
