"""The values of a table, from the files of its runs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.published.tables import Column, Correlation


class NoValueError(Exception):
    """A run has no value of a metric; the message names it and the reason."""


@dataclass(frozen=True)
class Statistic:
    """One metric over the runs of a row, as shown."""

    n: int
    value: float  # the mean, or how many pass
    deviation: float | None = None  # of the sample, with n - 1; None for a single run
    error: float | None = None  # of the mean


def figures_of(report: Mapping[str, Any], point: str) -> dict[str, tuple[float, float | None]]:
    """The value and real-vs-real baseline of each metric of a report of gan-eval, by name."""
    behind = "" if point == "last" else f"@{point}"
    return {
        f"{figure['name']}{behind}": (float(figure["value"]), _floor(figure.get("floor")))
        for figure in report["figures"]
    }


def _floor(value: Any) -> float | None:
    return None if value is None else float(value)


def require(
    found: Mapping[str, tuple[float, float | None]], wanted: Iterable[str], reasons: str
) -> None:
    """Check that every wanted metric is there and finite.

    Raises:
        NoValueError: one is not.
    """
    for name in wanted:
        if name not in found:
            raise NoValueError(f"gan-eval gave no {name}{reasons and f' ({reasons})'}")
        if not math.isfinite(found[name][0]):
            raise NoValueError(f"{name} is {found[name][0]}")


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """The finite values; JSON has no others."""
    return {k: value for k, value in values.items() if value is not None and math.isfinite(value)}


def rank_correlation(lines: Iterable[str], asked: Correlation) -> float:
    """Spearman's rank correlation of two curves of a metrics.jsonl.

    Raises:
        NoValueError: they have fewer than three points together.
    """
    pending: list[float] = []
    pairs: list[tuple[float, float]] = []
    for point in sorted((json.loads(line) for line in lines), key=lambda point: point["step"]):
        if asked.of in point:
            pending.append(asked.sign * float(point[asked.of]))
        if asked.against in point and pending:
            pairs.append((statistics.fmean(pending), float(point[asked.against])))
            pending = []
    if len(pairs) < 3:
        raise NoValueError(
            f"{asked.of} and {asked.against} have {len(pairs)} points together; three are needed"
        )
    ranks = [rankdata(curve) for curve in zip(*pairs, strict=True)]
    return float(np.corrcoef(*ranks)[0, 1])


def statistic(values: Sequence[float], column: Column) -> Statistic:
    """The statistic that a column shows of the runs' values.

    Raises:
        NoValueError: there is none.
    """
    if not values:
        raise NoValueError(f"{column.figure}: no run has it")
    if column.statistic == "passing":
        assert column.above is not None
        return Statistic(len(values), sum(value > column.above for value in values))
    shown = [column.scale * value for value in values]
    if len(shown) == 1:
        return Statistic(1, shown[0])
    deviation = statistics.stdev(shown)
    return Statistic(len(shown), statistics.fmean(shown), deviation, deviation / len(shown) ** 0.5)


def met(value: float, least_most: Sequence[float | None]) -> bool:
    """Whether a value lies within [least, most]; null is no limit."""
    least, most = least_most
    return (least is None or value >= least) and (most is None or value <= most)


def curves(path: Path) -> list[str]:
    """The lines of a metrics.jsonl."""
    return path.read_text(encoding="utf-8").splitlines()
