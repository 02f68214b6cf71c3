"""An axis of a plot, in pixels or vectors: its values, ticks and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

LEAST = 1e-3  # length of an axis, as a share of its largest value
LARGEST = 1e300  # drawn; differences of larger values overflow


class Tick(NamedTuple):
    """A value with its label."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """The values from `low` to `high`.

    Attributes:
        low: at the left or the bottom.
        high: at the other end; not equal to `low`.
        log: whether the axis is logarithmic.
        names: labels at 0, 1, 2 ... in place of numbers.
        title: below or beside it.
    """

    low: float
    high: float
    log: bool = False
    names: Sequence[str] = ()
    title: str = ""

    @property
    def length(self) -> float:
        """From end to end."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2

    def grown(self, share: float) -> Axis:
        """Longer by `share` of its length at each end."""
        more = self.length * share
        return replace(self, low=self.low - more, high=self.high + more)

    def at(self, value: Any) -> Any:
        """The place of a value (or an array of them), 0 at `low` and 1 at `high`."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), np.log(value)
        return (value - low) / (high - low)

    def ticks(self, most: int = 7) -> list[Tick]:
        """Round numbers within, about `most` at most; or the names."""
        if self.names:
            return [Tick(float(place), name) for place, name in enumerate(self.names)]
        values = self._powers(most) if self.log else []
        return [Tick(value, label(value)) for value in values or self._multiples(most)]

    def _multiples(self, most: int) -> list[float]:
        rough = self.length / most
        power = 10.0 ** math.floor(math.log10(rough))
        # The tolerance keeps a length of exactly ten steps from taking the next larger step.
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _powers(self, most: int) -> list[float]:
        """Powers of ten, and what lies between where they are few; none where all are."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            values = [digit * 10.0**power for power in powers for digit in digits]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) >= 3:
                return values[:: math.ceil(len(values) / most)]
        return []


def spanning(
    values: Iterable[float], *, log: bool = False, margin: float = 0.0, unit: float = 1e-6
) -> Axis:
    """The axis of all values up to `LARGEST`, from 0 to 1 where there are none.

    Args:
        values: what it holds; those not above 0 are left out where it is logarithmic.
        log: whether it is logarithmic.
        margin: share of the length that is added at each end of a linear axis.
        unit: values smaller than this are drawn as if they were equal.
    """
    array = np.asarray([*values], dtype=float)
    array = array[(np.abs(array) < LARGEST) & ((array > 0) | (not log))]
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    least = max(abs(low), abs(high), unit) * LEAST
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    found = Axis(low, high, log and low > 0)
    return found if found.log else found.grown(margin)


def label(value: float) -> str:
    """A tick's number, as short as can be: 20k, 1e-7, 0.5; a hyphen for minus."""
    if 1e4 <= abs(value) < 1e9:
        unit, sign = (1e6, "M") if abs(value) >= 1e6 else (1e3, "k")
        return f"{value / unit:.9g}{sign}"
    return f"{value:.6g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
