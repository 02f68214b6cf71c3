"""Charts of the pages: the geometry, in pixels, of what templates/charts.html draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gan_cli.formatting import Interval, number
from gan_cli.plots.axis import LARGEST, Axis, Tick, spanning

WIDTH, HEIGHT = 520, 270
WIDE = 820  # of a chart of configurations
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 44  # room around the plot
COLOURS = 8  # series-0 ... in page.css; beyond, dashes tell them apart
MOST_POINTS = 160  # of a curve
LOG_FROM = 30  # times the smallest value; then the axis is logarithmic
ROW = 30  # height of a configuration's row
CHARACTERS = 14  # of a name below the plot

Place = tuple[float, float]


class Colour(NamedTuple):
    """A series' number among all, which gives its colour and dashes."""

    number: int

    @property
    def classes(self) -> str:
        """Its CSS classes."""
        return f"series-{self.number % COLOURS} dash-{self.number // COLOURS % 3}"


@dataclass(frozen=True)
class Series:
    """What one series draws, in pixels.

    Attributes:
        style: CSS classes.
        said: shown when the pointer rests on it.
        line, band: `x,y x,y ...`.
        dots: circles.
        error: the interval of a mean and those of its ends that are not cut.
        mean: a diamond.
        number: of a `Colour`, by which the page's legend finds the series.
    """

    style: str
    said: str = ""
    line: str = ""
    band: str = ""
    dots: Sequence[Place] = ()
    error: tuple[Place, Place] | None = None
    caps: Sequence[Place] = ()
    mean: Place | None = None
    number: int | None = None


class Chart:
    """Series between two axes.

    Args:
        name: above the chart.
        x, y: its axes.
        left: room for the labels of `y`.
    """

    def __init__(
        self,
        name: str,
        x: Axis,
        y: Axis,
        width: int = WIDTH,
        height: int = HEIGHT,
        left: int = LEFT,
    ) -> None:
        self.name, self.x, self.y = name, x, y
        self.width, self.height = width, height
        self.left, self.top, self.right, self.bottom = left, TOP, width - RIGHT, height - BOTTOM
        self.x_ticks = [
            Tick(self.place(value, y.low)[0], cut(text, CHARACTERS)) for value, text in x.ticks(5)
        ]
        most = (left - 20) // 7 if y.names else CHARACTERS
        self.y_ticks = [
            Tick(self.place(x.low, value)[1], cut(text, most)) for value, text in y.ticks(5)
        ]
        self.series: list[Series] = []

    def place(self, x: float, y: float) -> Place:
        """The pixel of a value."""
        across = self.left + self.x.at(x) * (self.right - self.left)
        return round(across, 1), round(self.bottom - self.y.at(y) * (self.bottom - self.top), 1)

    def path(self, points: Iterable[Place]) -> str:
        """A line through those points that are finite."""
        shown = (
            self.place(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not self.y.log)
        )
        return " ".join(f"{x},{y}" for x, y in shown)


def cut(text: str, most: int) -> str:
    """`text` with at most that many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Point(NamedTuple):
    """A step of a curve over seeds."""

    step: float
    mean: float
    low: float
    high: float


def over_seeds(curves: Sequence[Mapping[int, float]]) -> list[Point]:
    """Mean, lowest and highest at each step that at least half of the curves reach, thinned out.

    Between its points a curve is a line, as seeds may have points at other steps. Values that are
    not finite, or larger than `LARGEST`, are left out.
    """
    some = [sorted((s, v) for s, v in curve.items() if abs(v) < LARGEST) for curve in curves]
    union = sorted({step for curve in some for step, _ in curve})
    values: dict[int, list[float]] = {step: [] for step in union}
    for curve in filter(None, some):
        steps, own = zip(*curve, strict=True)
        inside = [step for step in union if steps[0] <= step <= steps[-1]]
        for step, value in zip(inside, np.interp(inside, steps, own).tolist(), strict=True):
            values[step].append(value)
    kept = [(step, found) for step, found in values.items() if 2 * len(found) >= len(curves)]
    points = [Point(s, math.fsum(v) / len(v), min(v), max(v)) for s, v in kept]
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    thinned = [_joined(points[:-1][i : i + size]) for i in range(0, len(points) - 1, size)]
    return [*thinned, *points[-1:]]


def _joined(points: Sequence[Point]) -> Point:
    """Neighbours as one: means of steps and means, the whole band."""
    steps, means, lows, highs = zip(*points, strict=True)
    n = len(points)
    return Point(sum(steps) / n, math.fsum(means) / n, min(lows), max(highs))


def value_axis(values: Sequence[float]) -> Axis:
    """An axis of a metric or loss, logarithmic if it spans more than a factor of `LOG_FROM`."""
    finite = [value for value in values if math.isfinite(value)]
    wide = bool(finite) and min(finite) > 0 and max(finite) / min(finite) > LOG_FROM
    return spanning(finite, log=wide, margin=0.04)


def curves(name: str, series: Sequence[tuple[str, Colour, Sequence[Point]]]) -> Chart | None:
    """Curves over steps; None where no series has two points.

    Args:
        name: of what is drawn.
        series: label, colour, points.
    """
    series = [one for one in series if len(one[2]) > 1]
    if not series:
        return None
    every = [point for *_, points in series for point in points]
    steps = [point.step for point in every]
    x = Axis(min(steps), max(steps), title="step")
    chart = Chart(name, x, value_axis([end for p in every for end in (p.low, p.high)]))
    for label, colour, points in series:
        last = points[-1]
        chart.series.append(
            Series(
                colour.classes,
                f"{label}: {number(last.mean)} at step {last.step:,.0f}",
                line=chart.path((p.step, p.mean) for p in points),
                band=chart.path(
                    [(p.step, p.high) for p in points] + [(p.step, p.low) for p in points[::-1]]
                ),
                dots=[chart.place(last.step, last.mean)],
                number=colour.number,
            )
        )
    return chart


def configurations(
    metric: str, rows: Sequence[tuple[str, Colour, Sequence[float], Interval | None]]
) -> Chart | None:
    """A row for each configuration: a dot for each seed, the mean and its interval.

    Args:
        metric: its name.
        rows: label, colour, values, mean and interval.
    """
    values = [v for *_, some, _ in rows for v in some]
    if not values:
        return None
    # A wide interval of two seeds must not squeeze the dots; it is cut at the edge.
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    ends = [end for *_, at in rows if at for end in (at.low, at.high) if end is not None]
    low = max(min(values) - 0.6 * spread, min([*ends, *values]))
    high = min(max(values) + 0.6 * spread, max([*ends, *values]))
    labels = [label for label, *_ in rows]
    x = spanning([low, high], margin=0.03)
    y = Axis(len(rows) - 0.5, -0.5, names=labels)  # the first on top
    left = min(400, 24 + round(7.5 * max(map(len, labels))))
    chart = Chart(
        "", Axis(x.low, x.high, title=metric), y, WIDE, TOP + ROW * len(rows) + BOTTOM, left
    )
    for row, (label, colour, some, at) in enumerate(rows):
        error = mean = None
        caps: list[Place] = []
        if at is not None:
            mean = chart.place(at.mean, row)
            if at.low is not None and at.high is not None:
                inside = max(at.low, x.low), min(at.high, x.high)
                error = chart.place(inside[0], row), chart.place(inside[1], row)
                cut_off = inside[0] > at.low, inside[1] < at.high
                caps = [end for end, hidden in zip(error, cut_off, strict=True) if not hidden]
        said = f"{label}: {', '.join(map(number, some)) or 'no values'}"
        dots = [chart.place(value, row) for value in some]
        chart.series.append(
            Series(
                colour.classes,
                said,
                dots=dots,
                error=error,
                caps=caps,
                mean=mean,
                number=colour.number,
            )
        )
    return chart
