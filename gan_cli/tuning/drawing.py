"""Charts as SVG text, in the colours of the page that holds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

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


def circle(place: Point, x: Axis, y: Axis, kind: str, title: str) -> str:
    """A point with a text that is shown when one rests on it."""
    left, top = _place(place, x, y)
    text = f"<title>{escape(title)}</title>"
    return f'<circle class="{kind}" cx="{left:.1f}" cy="{top:.1f}" r="4">{text}</circle>'


def line(points: Sequence[Point], x: Axis, y: Axis, kind: str, title: str = "") -> str:
    """A line through points; what is not finite is left away."""
    shown = [_place(p, x, y) for p in points if math.isfinite(p[1])]
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in shown)
    return f'<polyline class="{kind}" points="{path}"><title>{escape(title)}</title></polyline>'


def _place(point: Point, x: Axis, y: Axis) -> Point:
    left = LEFT + x.at(point[0]) * (WIDE - LEFT - RIGHT)
    return left, TALL - BOTTOM - y.at(point[1]) * (TALL - TOP - BOTTOM)


def chart(x: Axis, y: Axis, marks: Iterable[str]) -> str:
    """A chart of marks that were made for these axes."""
    parts = [f'<svg viewBox="0 0 {WIDE} {TALL}" role="img">']
    for value, text in x.ticks():
        left, floor = _place((value, y.low), x, y)
        cut = text if len(text) <= 14 else f"{text[:13]}…"
        parts.append(
            f'<line class="grid" x1="{left:.1f}" x2="{left:.1f}" y1="{TOP}" y2="{floor}"/>'
        )
        parts.append(
            f'<text x="{left:.1f}" y="{floor + 15}" text-anchor="middle">{escape(cut)}</text>'
        )
    for value, text in y.ticks():
        _, top = _place((x.low, value), x, y)
        right = WIDE - RIGHT
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{top:.1f}" y2="{top:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{top + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    middle = (LEFT + WIDE - RIGHT) / 2
    parts.append(
        f'<text class="title" x="{middle}" y="{TALL - 6}" text-anchor="middle">'
        f"{escape(x.title)}</text>"
    )
    return "".join([*parts, *marks, "</svg>"])
