"""Charts of the report: what templates/charts.html draws, in pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gan_cli.formatting import Interval, number

WIDTH, HEIGHT = 520, 260
WIDE = 720  # of dots
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 34  # room around the plot
COLOURS = 8  # series-0 ... in report.css; beyond, dashes tell them apart
MOST_POINTS = 160  # of a curve
LOG_FROM = 30  # times the smallest value; then the axis is logarithmic
ROW = 30  # height of a line of dots


class Colour(NamedTuple):
    """A series' place among all, which gives its colour and dashes."""

    place: int

    @property
    def classes(self) -> str:
        """Its CSS classes."""
        return f"series-{self.place % COLOURS} dash-{self.place // COLOURS % 3}"


class Tick(NamedTuple):
    """A number at an axis."""

    at: float
    text: str


class Point(NamedTuple):
    """A step of a curve over seeds."""

    step: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A series: `x,y x,y ...` of its line and of its band, its last point, its words."""

    colour: Colour
    line: str
    band: str
    end: tuple[float, float]
    said: str


@dataclass(frozen=True)
class Curves:
    """Series over steps in one frame."""

    name: str
    log: bool
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    series: list[Curve]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    floor: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Dotted:
    """A configuration's line: its seeds, its mean, the interval and those ends that are not cut."""

    colour: Colour
    label: str
    y: float
    seeds: list[float]
    mean: float | None
    interval: tuple[float, float] | None
    caps: list[float]
    said: str


@dataclass(frozen=True)
class Dots:
    """Configurations below each other on one axis."""

    name: str
    ticks: list[Tick]
    rows: list[Dotted]
    height: int
    left: int
    width: int = WIDE
    top: int = TOP

    @property
    def floor(self) -> int:
        """Where the axis is."""
        return self.height - BOTTOM


class Axis:
    """A stretch of numbers on a stretch of pixels."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False):
        if low == high:
            low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
            log = log and low > 0
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers within."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for steps in ((1,), (1, 3), (1, 2, 5)):
                found = [m * 10.0**e for e in range(first, last + 1) for m in steps]
                found = [v for v in found if self.low <= v <= self.high]
                if len(found) >= 3:
                    return found
        rough = (self.high - self.low) / about
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.99)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def over_seeds(curves: Sequence[Mapping[int, float]]) -> list[Point]:
    """Mean, lowest and highest at each step that at least half of the curves reach, thinned out.

    What is not finite is left out.
    """
    steps: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in curve.items():
            if math.isfinite(value):
                steps.setdefault(step, []).append(value)
    kept = [(step, some) for step, some in sorted(steps.items()) if 2 * len(some) >= len(curves)]
    points = [Point(s, math.fsum(v) / len(v), min(v), max(v)) for s, v in kept]
    size = math.ceil(len(points) / MOST_POINTS)
    return [_joined(points[i : i + size]) for i in range(0, len(points), size)] if points else []


def _joined(points: Sequence[Point]) -> Point:
    """Neighbours as one: means of steps and means, the whole band."""
    n = len(points)
    return Point(
        sum(p.step for p in points) / n if n > 1 else points[0].step,
        math.fsum(p.mean for p in points) / n,
        min(p.low for p in points),
        max(p.high for p in points),
    )


def curves(name: str, series: Sequence[tuple[str, Colour, Sequence[Point]]]) -> Curves | None:
    """Curves over steps; None where no series has two points.

    Args:
        name: of what is drawn.
        series: label, colour, points.
    """
    series = [one for one in series if len(one[2]) > 1]
    if not series:
        return None
    every = [point for *_, points in series for point in points]
    low, high = min(p.low for p in every), max(p.high for p in every)
    log = low > 0 and high / low > LOG_FROM
    if not log:
        low, high = low - (high - low) * 0.04, high + (high - low) * 0.04
    x = Axis(min(p.step for p in every), max(p.step for p in every), LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    drawn = [_curve(label, colour, points, x, y) for label, colour, points in series]
    return Curves(name, log, _ticks(x), _ticks(y), drawn)


def _ticks(axis: Axis, about: int = 5) -> list[Tick]:
    return [Tick(axis(value), short(value)) for value in axis.ticks(about)]


def short(value: float) -> str:
    """A tick's number: 20k rather than 20,000."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.6g}"


def _curve(label: str, colour: Colour, points: Sequence[Point], x: Axis, y: Axis) -> Curve:
    line = " ".join(f"{x(p.step)},{y(p.mean)}" for p in points)
    band = [f"{x(p.step)},{y(p.high)}" for p in points]
    band += [f"{x(p.step)},{y(p.low)}" for p in reversed(points)]
    last = points[-1]
    said = f"{label}: {number(last.mean)} at step {last.step:,.0f}"
    return Curve(colour, line, " ".join(band), (x(last.step), y(last.mean)), said)


def dots(
    name: str, rows: Sequence[tuple[str, Colour, Sequence[float], Interval | None]]
) -> Dots | None:
    """A line for each configuration: a dot for each seed, the mean and its interval.

    Args:
        name: of the figure.
        rows: label, colour, values, mean and interval.
    """
    values = [v for *_, some, _ in rows for v in some]
    if not values:
        return None
    # A wide interval of two seeds must not squeeze the dots; it is cut at the edge.
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    low, high = min(values) - 0.6 * spread, max(values) + 0.6 * spread
    ends = [end for *_, at in rows if at for end in (at.low, at.high) if end is not None]
    low, high = max(low, min([*ends, *values])), min(high, max([*ends, *values]))
    pad = (high - low) * 0.03 or abs(high) * 0.03 or 0.1
    longest = max(len(label) for label, *_ in rows)
    left = min(260, 20 + 7 * longest)
    x = Axis(low - pad, high + pad, left, WIDE - RIGHT)
    lines = [
        _dotted(label, colour, some, at, x, TOP + ROW * (place + 0.5), (left - 20) // 7)
        for place, (label, colour, some, at) in enumerate(rows)
    ]
    return Dots(name, _ticks(x, 6), lines, TOP + ROW * len(rows) + BOTTOM, left)


def _dotted(
    label: str,
    colour: Colour,
    values: Sequence[float],
    at: Interval | None,
    x: Axis,
    y: float,
    most: int,
) -> Dotted:
    """`most`: characters of the label."""
    stretch, caps = None, []
    if at is not None and at.low is not None and at.high is not None:
        stretch = x(max(at.low, x.low)), x(min(at.high, x.high))
        cut = at.low < x.low, at.high > x.high
        caps = [end for end, beyond in zip(stretch, cut, strict=True) if not beyond]
    return Dotted(
        colour,
        label if len(label) <= most else f"{label[: most - 1]}…",
        y,
        [x(v) for v in values],
        None if at is None else x(at.mean),
        stretch,
        caps,
        f"{label}: {', '.join(map(number, values)) or 'no values'}",
    )
