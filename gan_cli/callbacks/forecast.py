"""How long a run will take on this machine, and how long it goes on."""

from __future__ import annotations

import math

from gan_cli.duration import show


def remaining(steps: int, steps_per_second: float, seconds: float | None = None) -> float:
    """Seconds until `steps` are done or `seconds` have passed, whichever comes first."""
    needed = steps / steps_per_second if steps_per_second > 0 else math.inf
    return needed if seconds is None else max(min(needed, seconds), 0)


def announce(
    step: int,
    total: int,
    steps_per_second: float,
    device: str,
    seconds_left: float | None = None,
    max_seconds: float | None = None,
    resumed: bool = False,
) -> str:
    """The line that says it, after a short measurement.

    Args:
        step: where the run is.
        total: where it ends.
        steps_per_second: as measured.
        device: what it runs on, in words.
        seconds_left: until `max_seconds`, the longest that this command may take, are over.
        max_seconds: None where there is no such limit.
        resumed: whether the run went on from an earlier one.
    """
    left = total - step
    whose = f"the remaining {left:,}" if resumed else f"{total:,}"
    needed = remaining(left if resumed else total, steps_per_second)
    line = f"about {show(_round(needed))} for {whose} steps on {device} ({_rate(steps_per_second)})"
    if seconds_left is None or max_seconds is None:
        return line
    reached = step + max(seconds_left, 0) * steps_per_second
    if reached >= total:
        return line
    return f"{line}; max_time = {show(max_seconds)} stops it near step {_leading(round(reached)):,}"


def _rate(steps_per_second: float) -> str:
    if 0 < steps_per_second < 1:
        return f"{show(1 / steps_per_second)} per step"
    return f"{_leading(steps_per_second):,} steps/s"


def _leading(number: float) -> int | float:
    """`number` to its two leading digits; a fraction below ten with one decimal."""
    if number < 9.95:
        return round(number, 1)
    unit = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return round(number / unit) * unit


def _round(seconds: float) -> float:
    """As exact as the measurement: to about a twentieth, in units that people use."""
    for above, unit in ((86400, 3600), (7200, 600), (1800, 300), (600, 60), (120, 30), (30, 5)):
        if seconds >= above:
            return round(seconds / unit) * unit
    return max(round(seconds), 1)
