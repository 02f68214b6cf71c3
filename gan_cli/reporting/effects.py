"""What a setting does, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from gan_cli.evaluation.telling import number
from gan_cli.reporting.comparing import Row, after, by_seed, shown
from gan_cli.reporting.metric import Metric
from gan_cli.reporting.statistics import ALPHA, Interval, holm, interval, signed_rank

MOST_LEVELS = 6  # of a setting, whose effect is told pair by pair


@dataclass(frozen=True)
class Effect:
    """What changing one setting does, over pairs of runs that agree in all others and the seed."""

    setting: str
    levels: tuple[str, str]  # the one that is better on average first
    difference: Interval  # the first less the second
    wins: int
    of: int
    p: float
    corrected: float
    comparisons: int
    within: dict[str, Interval]  # by the other settings
    metric: str
    better: str  # "lower" or "higher"

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below `ALPHA`."""
        return self.corrected < ALPHA

    @property
    def verdict(self) -> str:
        """Whether one value is better, in a few words."""
        first, mean = self.levels[0], self.difference.mean
        if self.clear:
            return f"{first} is better"
        return f"no clear difference, {first} is ahead" if mean else "no difference"

    @property
    def short(self) -> str:
        """The verdict, and how sure it is."""
        mean, low, high = (None if x is None else number(x) for x in self.difference)
        ends = "" if low is None else f", 95 % t-interval {low} to {high}"
        return (
            f"{self.verdict}: {self.levels[0]} less {self.levels[1]} is {mean}{ends}, "
            f"p = {shown(self.corrected)}{after(self.comparisons)}"
        )

    @property
    def question(self) -> str:
        """`prior: gaussian or uniform?`."""
        return f"{self.setting}: {' or '.join(sorted(self.levels))}?"

    def __str__(self) -> str:
        first, second = self.levels
        mean, low, high = self.difference
        ends = ""
        if low is not None and high is not None:
            ends = f", 95 % t-interval {number(low)} to {number(high)}"
        text = (
            f"{self.verdict}: {self.metric} {self.better} by {number(abs(mean))} on average "
            f"({first} less {second}: {number(mean)}{ends}), better in {self.wins} of {self.of} "
            f"pairs of runs alike in all else, p = {shown(self.corrected)}{after(self.comparisons)}"
        )
        return text if len(self.within) < 2 else f"{text}; {self._where()}"

    def _where(self) -> str:
        sign = 1 if self.better == "lower" else -1
        agree = sum(sign * part.mean < 0 for part in self.within.values())
        return f"so it is for {agree} of {len(self.within)} values of the other settings"


def effects(rows: Sequence[Row], columns: Sequence[str], metric: Metric, at: str) -> list[Effect]:
    """The effect of each setting, where there are others beside it."""
    if len(columns) < 2:
        return []
    found = [
        (column, levels, pairs)
        for column in columns
        for levels in _levels(rows, column)
        if len(pairs := list(_pairs(rows, column, levels, at))) > 1
    ]
    ps = [signed_rank([x - y for _, x, y in pairs]) for *_, pairs in found]
    return [
        _effect(column, levels, pairs, metric, p, corrected, len(found))
        for (column, levels, pairs), p, corrected in zip(found, ps, holm(ps), strict=True)
    ]


def _levels(rows: Sequence[Row], column: str) -> Iterator[tuple[str, str]]:
    values = list(dict.fromkeys(row.configuration.settings[column] for row in rows))
    if len(values) <= MOST_LEVELS:
        yield from combinations(values, 2)


def _pairs(
    rows: Sequence[Row], column: str, levels: tuple[str, str], at: str
) -> Iterator[tuple[str, float, float]]:
    """What else they share, and the values of two runs that differ in `column` alone."""
    sides: list[dict[str, Row]] = [{}, {}]
    for row in rows:
        settings = row.configuration.settings
        if settings[column] in levels:
            rest = " ".join(value for key, value in settings.items() if key != column)
            sides[levels.index(settings[column])][rest] = row
    for rest, first in sides[0].items():
        if rest in sides[1]:
            ours, theirs = by_seed(first, at), by_seed(sides[1][rest], at)
            yield from ((rest, ours[seed], theirs[seed]) for seed in ours if seed in theirs)


def _effect(
    setting: str,
    levels: tuple[str, str],
    pairs: Sequence[tuple[str, float, float]],
    metric: Metric,
    p: float,
    corrected: float,
    many: int,
) -> Effect:
    differences = [x - y for _, x, y in pairs]
    sign = 1.0
    if metric.beats(0, interval(differences).mean):
        levels, sign = (levels[1], levels[0]), -1.0
    rests = dict.fromkeys(rest for rest, *_ in pairs)
    return Effect(
        setting,
        levels,
        interval([sign * d for d in differences]),
        sum(metric.beats(sign * d, 0) for d in differences),
        len(pairs),
        p,
        corrected,
        many,
        {r: interval([sign * (x - y) for rest, x, y in pairs if rest == r]) for r in rests},
        metric.name,
        metric.better,
    )
