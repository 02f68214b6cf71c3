"""Charts as SVG: one figure of each seed with its interval, and curves with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from gan_cli.evaluation.telling import number
from gan_cli.reporting.statistics import Interval

WIDTH, HEIGHT = 520, 260
WIDE = 720  # of dots
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 34  # room around the plot
COLOURS = 8  # series-0 ... in page.css; beyond, dashes tell them apart
MOST_POINTS = 160  # of a curve
LOG_FROM = 30  # times the smallest value; then the axis is logarithmic
ROW = 30  # height of a line of dots


class Point(NamedTuple):
    """A step of a curve over seeds."""

    step: float
    mean: float
    low: float
    high: float


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


def curves(name: str, series: Sequence[tuple[str, int, Sequence[Point]]]) -> str:
    """Curves over steps as SVG; nothing where no series has two points.

    Args:
        name: of what is drawn.
        series: label, number of its colour, points.
    """
    series = [one for one in series if len(one[2]) > 1]
    if not series:
        return ""
    every = [point for *_, points in series for point in points]
    low, high = min(p.low for p in every), max(p.high for p in every)
    log = low > 0 and high / low > LOG_FROM
    if not log:
        low, high = low - (high - low) * 0.04, high + (high - low) * 0.04
    x = Axis(min(p.step for p in every), max(p.step for p in every), LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    parts = [_frame(x, y)]
    parts += [_curve(label, colour, points, x, y) for label, colour, points in series]
    scale = ", logarithmic" if log else ""
    return (
        f'<figure class="chart"><figcaption>{escape(name)}<span class="dim">{scale}</span>'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)} over steps">{"".join(parts)}</svg></figure>'
    )


def _frame(x: Axis, y: Axis) -> str:
    lines = []
    for value in y.ticks():
        at = y(value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        lines.append(f'<text class="tick end" x="{LEFT - 8}" y="{at + 4}">{short(value)}</text>')
    for value in x.ticks():
        at = x(value)
        lines.append(
            f'<text class="tick mid" x="{at}" y="{HEIGHT - BOTTOM + 18}">{short(value)}</text>'
        )
    floor = HEIGHT - BOTTOM
    lines.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    return "".join(lines)


def short(value: float) -> str:
    """A tick's number: 20k rather than 20,000."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.6g}"


def _curve(label: str, colour: int, points: Sequence[Point], x: Axis, y: Axis) -> str:
    line = " ".join(f"{x(p.step)},{y(p.mean)}" for p in points)
    band = [f"{x(p.step)},{y(p.high)}" for p in points]
    band += [f"{x(p.step)},{y(p.low)}" for p in reversed(points)]
    last = points[-1]
    told = f"{label}: {number(last.mean)} at step {last.step:,.0f}"
    return (
        f'<g class="series {classes(colour)}" data-series="{colour}"><title>{escape(told)}</title>'
        f'<polygon class="band" points="{" ".join(band)}"/><polyline points="{line}"/>'
        f'<circle cx="{x(last.step)}" cy="{y(last.mean)}" r="3"/></g>'
    )


def classes(colour: int) -> str:
    """The CSS classes of a series."""
    return f"series-{colour % COLOURS} dash-{colour // COLOURS % 3}"


def dots(name: str, rows: Sequence[tuple[str, int, Sequence[float], Interval | None]]) -> str:
    """A line for each configuration: a dot for each seed, the mean and its interval.

    Args:
        name: of the figure.
        rows: label, number of its colour, values, mean and interval.
    """
    values = [v for *_, some, _ in rows for v in some]
    if not values:
        return ""
    # A wide interval of two seeds must not squeeze the dots; it is cut at the edge.
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    low, high = min(values) - 0.6 * spread, max(values) + 0.6 * spread
    ends = [end for *_, at in rows if at for end in (at.low, at.high) if end is not None]
    low, high = max(low, min([*ends, *values])), min(high, max([*ends, *values]))
    pad = (high - low) * 0.03 or abs(high) * 0.03 or 0.1
    longest = max(len(label) for label, *_ in rows)
    left = min(260, 20 + 7 * longest)
    x = Axis(low - pad, high + pad, left, WIDE - RIGHT)
    height = TOP + ROW * len(rows) + BOTTOM
    parts = []
    for value in x.ticks(6):
        at = x(value)
        parts.append(
            f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            f'<text class="tick mid" x="{at}" y="{height - BOTTOM + 18}">{short(value)}</text>'
        )
    for place, (label, colour, some, at) in enumerate(rows):
        parts.append(_dotted(label, colour, some, at, x, TOP + ROW * (place + 0.5), left))
    return (
        f'<figure class="chart wide"><svg viewBox="0 0 {WIDE} {height}" role="img" '
        f'aria-label="{escape(name)} of each seed">{"".join(parts)}</svg></figure>'
    )


def _dotted(
    label: str,
    colour: int,
    values: Sequence[float],
    at: Interval | None,
    x: Axis,
    y: float,
    left: int,
) -> str:
    most = (left - 20) // 7
    text = label if len(label) <= most else f"{label[: most - 1]}…"
    parts = [f'<text class="label end" x="{left - 12}" y="{y + 4}">{escape(text)}</text>']
    if at is not None and at.low is not None and at.high is not None:
        a, b = x(max(at.low, x.low)), x(min(at.high, x.high))
        parts.append(f'<line class="interval" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>')
        ends = [(a, at.low < x.low), (b, at.high > x.high)]
        parts += [
            f'<line class="cap" x1="{end}" x2="{end}" y1="{y - 5}" y2="{y + 5}"/>'
            for end, cut in ends
            if not cut
        ]
    parts += [f'<circle class="seed" cx="{x(v)}" cy="{y}" r="3.5"/>' for v in values]
    if at is not None:
        mean = x(at.mean)
        parts.append(f'<path class="mean" d="M{mean} {y - 7}l5 7l-5 7l-5 -7z"/>')
    told = f"{label}: {', '.join(map(number, values)) or 'no values'}"
    return (
        f'<g class="series {classes(colour)}" data-series="{colour}">'
        f"<title>{escape(told)}</title>{''.join(parts)}</g>"
    )
