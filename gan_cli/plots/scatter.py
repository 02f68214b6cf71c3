"""Charts of a study: what templates/study.html draws, in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDE, TALL = 420, 240  # pixels of a chart
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 40  # pixels around the plot
TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """From data to pixels.

    Attributes:
        low: least value shown.
        high: largest.
        log: logarithmic.
        names: at 0, 1, 2 ... instead of numbers.
    """

    title: str
    low: float
    high: float
    log: bool = False
    names: Sequence[str] = ()

    def at(self, value: float) -> float:
        """The place of a value, 0 to 1."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return 0.5 if low == high else (value - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values with their text."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            if last > first:
                stride = max(1, (last - first) // TICKS)
                return [(10.0**p, f"{10.0**p:g}") for p in range(first, last + 1, stride)]
            return [(value, f"{value:.2g}") for value in (self.low, self.high)]
        step = _round_step((self.high - self.low) / TICKS)
        start = math.ceil(self.low / step)
        count = math.floor((self.high - self.low) / step) + 1
        values = [(start + i) * step for i in range(count) if (start + i) * step <= self.high]
        return [(value, f"{value:.6g}") for value in values]


def _round_step(rough: float) -> float:
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def axis(title: str, values: Iterable[float], log: bool = False) -> Axis:
    """An axis that holds all finite values, with a little room where it is linear."""
    finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = 0.0 if log else 0.04 * (high - low)
    return Axis(title, low - room, high + room, log)


def named(title: str, names: Sequence[str]) -> Axis:
    """An axis of names."""
    return Axis(title, -0.5, len(names) - 0.5, names=tuple(names))


class Circle(NamedTuple):
    """A point, and a text that is shown when the pointer rests on it."""

    kind: str
    x: float
    y: float
    said: str


class Line(NamedTuple):
    """A line: `x,y x,y ...`, and its text."""

    kind: str
    points: str
    said: str


class Tick(NamedTuple):
    """A value at an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Lines and, above them, circles between two axes."""

    title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    circles: list[Circle]
    caption: str = ""
    width: int = WIDE
    height: int = TALL
    left: int = LEFT
    right: int = WIDE - RIGHT
    top: int = TOP
    floor: int = TALL - BOTTOM


def circle(place: Point, x: Axis, y: Axis, kind: str, said: str) -> Circle:
    """A point of the chart."""
    left, top = _place(place, x, y)
    return Circle(kind, left, top, said)


def line(points: Sequence[Point], x: Axis, y: Axis, kind: str, said: str = "") -> Line:
    """A line through points; what is not finite is left away."""
    shown = [_place(p, x, y) for p in points if math.isfinite(p[1])]
    return Line(kind, " ".join(f"{left},{top}" for left, top in shown), said)


def _place(point: Point, x: Axis, y: Axis) -> Point:
    left = LEFT + x.at(point[0]) * (WIDE - LEFT - RIGHT)
    return round(left, 1), round(TALL - BOTTOM - y.at(point[1]) * (TALL - TOP - BOTTOM), 1)


def chart(
    x: Axis, y: Axis, lines: Iterable[Line], circles: Iterable[Circle] = (), caption: str = ""
) -> Chart:
    """A chart of lines and circles that were made for these axes."""
    names = [(value, text if len(text) <= 14 else f"{text[:13]}…") for value, text in x.ticks()]
    x_ticks = [Tick(_place((value, y.low), x, y)[0], text) for value, text in names]
    y_ticks = [Tick(_place((x.low, value), x, y)[1], text) for value, text in y.ticks()]
    return Chart(x.title, x_ticks, y_ticks, [*lines], [*circles], caption)
