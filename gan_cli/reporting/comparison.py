"""Which configuration beats which, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from gan_cli.formatting import Interval, number
from gan_cli.reporting.configurations import Configuration
from gan_cli.reporting.metric import ReportedMetric
from gan_cli.reporting.statistics import (
    ALPHA,
    holm,
    interval,
    least_rank_sum,
    rank_sum,
    seeds_needed,
    signed_rank,
)
from gan_cli.runs.record import Record


class HasValues(Protocol):
    """A run's values of the metric; see `findings.Outcome`."""

    @property
    def record(self) -> Record: ...

    @property
    def counts(self) -> bool: ...

    def value(self, at: str) -> float | None: ...


class HasOutcomes(Protocol):
    """A configuration with its outcomes; see `findings.Row`."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def outcomes(self) -> Sequence[HasValues]: ...

    def values(self, at: str) -> list[float]: ...


@dataclass(frozen=True)
class Comparison:
    """Two configurations over their seeds."""

    better: str  # label of the one with the better mean
    worse: str
    difference: float  # mean of the better one less mean of the other
    wins: int  # seeds of both in which the better one is better; all pairs where none is shared
    of: int
    by_seed: bool
    seeds: tuple[int, int]  # how many of each
    p: float
    corrected: float
    comparisons: int  # how many were made in all
    metric: str

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below `ALPHA`."""
        return self.corrected < ALPHA

    @property
    def least(self) -> float:
        """The smallest corrected p that so few seeds allow."""
        return min(1.0, least_rank_sum(*self.seeds) * self.comparisons)

    def __str__(self) -> str:
        kind = "seeds" if self.by_seed else "pairs of runs"
        said = (
            f"{self.better} beats {self.worse}"
            if self.clear
            else f"no significant difference between {self.better} and {self.worse}"
        )
        return (
            f"{said} on {self.metric}, {self.better} better in {self.wins} of {self.of} {kind}, "
            f"p = {shown(self.corrected)}{after(self.comparisons)}"
        )


def shown(p: float) -> str:
    """A p in two digits."""
    return "below 0.001" if p < 0.001 else f"{p:.2g}"


def after(comparisons: int) -> str:
    """How p was corrected, in words."""
    return f" after Holm's correction for {comparisons} comparisons" if comparisons > 1 else ""


def compare(rows: Sequence[HasOutcomes], metric: ReportedMetric, at: str) -> list[Comparison]:
    """Each pair of configurations with two seeds and more, the surest first."""
    able = [row for row in rows if len(row.values(at)) > 1]
    pairs = list(combinations(able, 2))
    ps = [rank_sum(a.values(at), b.values(at)) for a, b in pairs]
    made = [
        _comparison(a, b, metric, at, p, corrected, len(pairs))
        for (a, b), p, corrected in zip(pairs, ps, holm(ps), strict=True)
    ]
    return sorted(made, key=lambda one: one.p)


def _comparison(
    a: HasOutcomes,
    b: HasOutcomes,
    metric: ReportedMetric,
    at: str,
    p: float,
    corrected: float,
    many: int,
) -> Comparison:
    means = [interval(row.values(at)).mean for row in (a, b)]
    if metric.beats(means[1], means[0]):
        a, b = b, a
        means.reverse()
    ours, theirs = by_seed(a, at), by_seed(b, at)
    shared = [seed for seed in ours if seed in theirs]
    if shared:
        duels = [(ours[seed], theirs[seed]) for seed in shared]
    else:
        duels = [(x, y) for x in a.values(at) for y in b.values(at)]
    return Comparison(
        a.configuration.label,
        b.configuration.label,
        means[0] - means[1],
        sum(metric.beats(x, y) for x, y in duels),
        len(duels),
        bool(shared),
        (len(a.values(at)), len(b.values(at))),
        p,
        corrected,
        many,
        metric.name,
    )


def by_seed(row: HasOutcomes, at: str) -> dict[int, float]:
    """Of each seed the last run's value."""
    return {
        seed: value
        for one in row.outcomes
        if one.counts and (seed := one.record.seed) is not None
        if (value := one.value(at)) is not None
    }


def power(comparisons: Sequence[Comparison]) -> str:
    """What so few seeds cannot show; nothing where they can."""
    if not comparisons or any(one.least < ALPHA for one in comparisons):
        return ""
    one = min(comparisons, key=lambda one: one.least)
    n, m = one.seeds
    least, many = least_rank_sum(n, m), one.comparisons
    seeds = f"{n} seeds each" if n == m else f"{n} and {m} seeds"
    corrected = f", {shown(one.least)} after correction for {many} comparisons" if many > 1 else ""
    return (
        f"With {seeds}, no test can reach p < {ALPHA} (at best p = {shown(least)}{corrected}); "
        f"use {seeds_needed(many)} or more of each."
    )


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
        return (
            f"no significant difference, {first} is better on average" if mean else "no difference"
        )

    @property
    def short(self) -> str:
        """The verdict, and how sure it is."""
        mean, low, high = (None if x is None else number(x) for x in self.difference)
        ends = "" if low is None else f", 95 % t-interval {low} to {high}"
        return (
            f"{self.verdict}: {self.levels[0]} - {self.levels[1]} is {mean}{ends}, "
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
            f"({first} - {second}: {number(mean)}{ends}), better in {self.wins} of {self.of} "
            f"pairs of runs alike in all else, p = {shown(self.corrected)}{after(self.comparisons)}"
        )
        return text if len(self.within) < 2 else f"{text}; {self._where()}"

    def _where(self) -> str:
        sign = 1 if self.better == "lower" else -1
        agree = sum(sign * part.mean < 0 for part in self.within.values())
        return f"so it is for {agree} of {len(self.within)} values of the other settings"


def effects(
    rows: Sequence[HasOutcomes], columns: Sequence[str], metric: ReportedMetric, at: str
) -> list[Effect]:
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


def _levels(rows: Sequence[HasOutcomes], column: str) -> Iterator[tuple[str, str]]:
    values = list(dict.fromkeys(row.configuration.settings[column] for row in rows))
    if len(values) <= MOST_LEVELS:
        yield from combinations(values, 2)


def _pairs(
    rows: Sequence[HasOutcomes], column: str, levels: tuple[str, str], at: str
) -> Iterator[tuple[str, float, float]]:
    """What else they share, and the values of two runs that differ in `column` alone."""
    sides: list[dict[str, HasOutcomes]] = [{}, {}]
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
    metric: ReportedMetric,
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
