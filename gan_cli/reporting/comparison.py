"""Comparisons of configurations, and effects of single settings, by exact tests over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from gan_cli.formatting import Interval, rounded
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
    signed_ranks,
)

LEAST = 0.001  # of p, in words
MOST_LEVELS = 6  # of a setting whose effects are shown


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What was counted and tested: base of a comparison and an effect."""

    wins: int  # seeds, or pairs of runs, in which the better one is better
    of: int
    p: float
    corrected: float
    comparisons: int  # how many were made in all
    metric: str
    means_agree: bool  # with the ranks, by which the test decides

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below `ALPHA`."""
        return self.corrected < ALPHA

    @property
    def certainty(self) -> str:
        """The corrected p in words."""
        many = self.comparisons
        correction = f" after Holm's correction for {many} comparisons" if many > 1 else ""
        against = "" if self.means_agree else "; not on average: an outlier decides the mean"
        equals = "" if self.corrected < LEAST else "= "
        return f"p {equals}{shown(self.corrected)}{correction}{against}"


def shown(p: float) -> str:
    """A p in two digits."""
    return f"< {LEAST}" if p < LEAST else f"{p:.2g}"


@dataclass(frozen=True, kw_only=True)
class Comparison(Tested):
    """Two configurations over the seeds of both, or over all pairs of runs where none is shared."""

    better: str  # label of the one with the better ranks if the test decides, else the better mean
    worse: str
    difference: float  # mean of the better one - mean of the other
    by_seed: bool
    seeds: tuple[int, int]  # how many of each

    @property
    def least(self) -> float:
        """The smallest corrected p that this number of seeds allows."""
        return min(1.0, least_rank_sum(*self.seeds) * self.comparisons)

    def __str__(self) -> str:
        kind = "seeds" if self.by_seed else "pairs of runs"
        said = (
            f"{self.better} beats {self.worse}"
            if self.clear
            else f"no significant difference between {self.better} and {self.worse}"
        )
        return (
            f"{said} on {self.metric}, {'' if self.clear else 'the first '}better in {self.wins} "
            f"of {self.of} {kind}, {self.certainty}"
        )


def compare(found: Sequence[Configuration], metric: ReportedMetric) -> list[Comparison]:
    """Each pair of configurations with two seeds and more, the surest first."""
    pairs = list(combinations([one for one in found if len(one.values) > 1], 2))
    ps = [rank_sum(a.values, b.values) for a, b in pairs]
    made = [
        _comparison(a, b, metric, p, corrected, len(pairs))
        for (a, b), p, corrected in zip(pairs, ps, holm(ps), strict=True)
    ]
    return sorted(made, key=lambda one: one.p)


def _comparison(
    a: Configuration,
    b: Configuration,
    metric: ReportedMetric,
    p: float,
    corrected: float,
    comparisons: int,
) -> Comparison:
    means = interval(a.values).mean, interval(b.values).mean
    won = sum(metric.beats(x, y) - metric.beats(y, x) for x, y in product(a.values, b.values))
    by_ranks, by_means = won < 0, metric.beats(means[1], means[0])
    if by_ranks if corrected < ALPHA else by_means:
        a, b = b, a
    ours, theirs = a.by_seed, b.by_seed
    duels = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    return Comparison(
        better=a.label,
        worse=b.label,
        difference=interval(a.values).mean - interval(b.values).mean,
        wins=sum(metric.beats(*duel) for duel in duels or product(a.values, b.values)),
        means_agree=corrected >= ALPHA or by_ranks == by_means,
        of=len(duels) or len(a.values) * len(b.values),
        by_seed=bool(duels),
        seeds=(len(a.values), len(b.values)),
        p=p,
        corrected=corrected,
        comparisons=comparisons,
        metric=metric.name,
    )


def power(comparisons: Sequence[Comparison]) -> str:
    """A warning that there are too few seeds for any test; "" where there are enough."""
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


@dataclass(frozen=True, kw_only=True)
class Effect(Tested):
    """What changing one setting does, over pairs of runs that agree in all others and the seed."""

    setting: str
    levels: tuple[str, str]  # the better one first: by ranks if the test decides, else on average
    difference: Interval  # the first - the second
    within: dict[str, Interval]  # the difference by the other settings
    better: str  # "lower" or "higher"

    @property
    def question(self) -> str:
        """`prior: gaussian or uniform?`."""
        return f"{self.setting}: {' or '.join(sorted(self.levels))}?"

    @property
    def verdict(self) -> str:
        """Whether one value is better, in a few words."""
        first, mean = self.levels[0], self.difference.mean
        if self.clear:
            return f"{first} is better"
        on_average = f", {first} is better on average" if mean else ""
        return f"no {'significant ' if mean else ''}difference{on_average}"

    @property
    def estimate(self) -> str:
        """The mean difference with its interval."""
        found = [x for x in self.difference if x is not None]
        mean, *ends = rounded(self.difference.half, *found)
        interval = f", 95 % t-interval {' to '.join(ends)}" if ends else ""
        return f"{self.levels[0]} - {self.levels[1]}: {mean}{interval}"

    @property
    def short(self) -> str:
        """The verdict, and how sure it is."""
        return f"{self.verdict} ({self.estimate}), {self.certainty}"

    def __str__(self) -> str:
        direction = "lower" if self.difference.mean < 0 else "higher"
        text = (
            f"{self.verdict}: {self.metric} {direction} by "
            f"{rounded(self.difference.half, abs(self.difference.mean))[0]} on average "
            f"({self.estimate}), better in {self.wins} of {self.of} pairs of runs alike in all "
            f"else, {self.certainty}"
        )
        if len(self.within) < 2:
            return text
        sign = 1 if self.better == "lower" else -1
        agree = sum(sign * part.mean < 0 for part in self.within.values())
        return f"{text}; likewise for {agree} of {len(self.within)} values of the other settings"


def effects(
    found: Sequence[Configuration], columns: Sequence[str], metric: ReportedMetric
) -> list[Effect]:
    """The effect of each setting, where there are others beside it."""
    if len(columns) < 2:
        return []
    compared = [
        (column, levels, pairs)
        for column in columns
        for levels in _levels(found, column)
        if len(pairs := list(_pairs(found, column, levels))) > 1
    ]
    ps = [signed_rank([x - y for _, x, y in pairs]) for *_, pairs in compared]
    return [
        _effect(column, levels, pairs, metric, p, corrected, len(compared))
        for (column, levels, pairs), p, corrected in zip(compared, ps, holm(ps), strict=True)
    ]


def _levels(found: Sequence[Configuration], column: str) -> Iterator[tuple[str, str]]:
    values = list(dict.fromkeys(one.settings[column] for one in found))
    if len(values) <= MOST_LEVELS:
        yield from combinations(values, 2)


def _pairs(
    found: Sequence[Configuration], column: str, levels: tuple[str, str]
) -> Iterator[tuple[str, float, float]]:
    """What else they share, and the values of two runs that differ in `column` alone."""
    sides: list[dict[str, Configuration]] = [{}, {}]
    for one in found:
        if one.settings[column] in levels:
            rest = " ".join(value for key, value in one.settings.items() if key != column)
            sides[levels.index(one.settings[column])][rest] = one
    for rest, first in sides[0].items():
        if rest in sides[1]:
            ours, theirs = first.by_seed, sides[1][rest].by_seed
            yield from ((rest, ours[seed], theirs[seed]) for seed in ours if seed in theirs)


def _effect(
    setting: str,
    levels: tuple[str, str],
    pairs: Sequence[tuple[str, float, float]],
    metric: ReportedMetric,
    p: float,
    corrected: float,
    comparisons: int,
) -> Effect:
    differences = [(rest, x - y) for rest, x, y in pairs]
    plain = [d for _, d in differences]
    by_ranks = metric.beats(0, signed_ranks(plain))
    by_means = metric.beats(0, interval(plain).mean)
    if by_ranks if corrected < ALPHA else by_means:
        levels, differences = (levels[1], levels[0]), [(rest, -d) for rest, d in differences]
    rests = dict.fromkeys(rest for rest, _ in differences)
    return Effect(
        setting=setting,
        levels=levels,
        difference=interval([d for _, d in differences]),
        wins=sum(metric.beats(d, 0) for _, d in differences),
        means_agree=corrected >= ALPHA or by_ranks == by_means,
        of=len(differences),
        p=p,
        corrected=corrected,
        comparisons=comparisons,
        within={rest: interval([d for r, d in differences if r == rest]) for rest in rests},
        metric=metric.name,
        better=metric.better,
    )
