"""Which configuration beats which, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from gan_cli.reporting.grouping import Configuration
from gan_cli.reporting.metric import Metric
from gan_cli.reporting.statistics import (
    ALPHA,
    holm,
    interval,
    least_rank_sum,
    rank_sum,
    seeds_needed,
)
from gan_cli.runs.record import Record


class Outcome(Protocol):
    """A run's values of the metric; see `findings.Outcome`."""

    @property
    def record(self) -> Record: ...

    @property
    def counts(self) -> bool: ...

    def value(self, at: str) -> float | None: ...


class Row(Protocol):
    """A configuration with its outcomes; see `findings.Row`."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def outcomes(self) -> Sequence[Outcome]: ...

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
        verb = "beats" if self.clear else "is ahead of" if self.difference else "equals"
        kind = "seeds" if self.by_seed else "pairs of runs"
        return (
            f"{self.better} {verb} {self.worse} on {self.metric}, {self.wins} of {self.of} {kind}, "
            f"p = {shown(self.corrected)}{after(self.comparisons)}"
        )


def shown(p: float) -> str:
    """A p in two digits."""
    return "below 0.001" if p < 0.001 else f"{p:.2g}"


def after(comparisons: int) -> str:
    """How p was corrected, in words."""
    return f" after Holm's correction for {comparisons} comparisons" if comparisons > 1 else ""


def compare(rows: Sequence[Row], metric: Metric, at: str) -> list[Comparison]:
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
    a: Row, b: Row, metric: Metric, at: str, p: float, corrected: float, many: int
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


def by_seed(row: Row, at: str) -> dict[int, float]:
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
    corrected = f", {shown(one.least)} after correction for {many} comparisons" if many > 1 else ""
    return (
        f"With {n} and {m} seeds no rank test can reach p < {ALPHA}: even if every run of one is "
        f"better than every run of the other, that is one of {round(2 / least)} equally likely "
        f"orders, either way round, so p = {shown(least)}{corrected}. "
        f"From {seeds_needed(many)} seeds of each on it can."
    )
