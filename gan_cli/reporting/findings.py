"""What the runs say together: each configuration's figures, and what is wrong with which run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gan_cli.formatting import Interval
from gan_cli.reporting.comparison import Comparison, Effect, compare, effects
from gan_cli.reporting.configurations import Configuration, group
from gan_cli.reporting.metric import ReportedMetric
from gan_cli.reporting.statistics import interval
from gan_cli.runs.folder import FINISHED, RUNNING
from gan_cli.runs.record import Record

FINAL, BEST = "final", "best"


@dataclass(frozen=True)
class RunOutcome:
    """What came of one run."""

    record: Record
    final: float | None  # the metric at its last point
    best: float | None  # the best of the points after step 0
    best_step: int | None

    @property
    def counts(self) -> bool:
        """Whether it takes part in means and tests."""
        return self.record.state == FINISHED and self.final is not None

    def value(self, at: str) -> float | None:
        """The final or the best value."""
        return self.final if at == FINAL else self.best


@dataclass(frozen=True)
class ConfigurationRow:
    """A configuration and its figures."""

    configuration: Configuration
    outcomes: list[RunOutcome]
    metric: Interval | None  # over the seeds that count
    best: Interval | None
    seconds: float | None  # of training, median of the runs that count
    speed: float | None  # images a second, median
    steps: int  # of the run that came furthest

    @property
    def label(self) -> str:
        """The configuration's name."""
        return self.configuration.label

    @property
    def counted(self) -> list[RunOutcome]:
        """The outcomes that take part in means and tests."""
        return [outcome for outcome in self.outcomes if outcome.counts]

    def values(self, at: str) -> list[float]:
        """The metric of the seeds that count."""
        return [v for outcome in self.counted if (v := outcome.value(at)) is not None]

    @property
    def states(self) -> dict[str, int]:
        """How many runs stand how."""
        found: dict[str, int] = {}
        for outcome in self.outcomes:
            found[outcome.record.state] = found.get(outcome.record.state, 0) + 1
        return found


@dataclass(frozen=True)
class Findings:
    """All that a report tells."""

    metric: ReportedMetric
    at: str  # FINAL or BEST: which value means and tests go by
    rows: list[ConfigurationRow]  # best first
    comparisons: list[Comparison]
    effects: list[Effect]
    warnings: list[str]

    @property
    def columns(self) -> list[str]:
        """The settings that differ."""
        return list(self.rows[0].configuration.settings)

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [outcome.record for row in self.rows for outcome in row.outcomes]

    @property
    def troubled(self) -> list[Record]:
        """Runs that neither finished nor go on."""
        return [r for r in self.records if r.state not in (FINISHED, RUNNING)]


def find(records: Sequence[Record], metric: ReportedMetric, at: str) -> Findings:
    """Group the runs, average over seeds and compare."""
    rows = [_row(one, metric, at) for one in group(records)]
    sign = 1 if metric.better == "lower" else -1
    rows.sort(key=lambda row: sign * row.metric.mean if row.metric else math.inf)
    columns = list(rows[0].configuration.settings) if rows else []
    return Findings(
        metric,
        at,
        rows,
        compare(rows, metric, at),
        effects(rows, columns, metric, at),
        [*metric.warnings, *_warnings(rows)],
    )


def outcome(record: Record, metric: ReportedMetric) -> RunOutcome:
    """A run's final and best value of the metric; what is not finite is no value."""
    curve = record.curve(metric.name)
    final = list(curve.values())[-1] if curve else None
    after = {step: v for step, v in curve.items() if step > 0 and math.isfinite(v)}
    if final is None or not math.isfinite(final):
        final = None
    if not after:
        return RunOutcome(record, final, None, None)
    best = metric.best(list(after.values()))
    return RunOutcome(record, final, best, next(s for s, v in after.items() if v == best))


def _row(one: Configuration, metric: ReportedMetric, at: str) -> ConfigurationRow:
    outcomes = [outcome(record, metric) for record in one.records]
    counted = [o for o in outcomes if o.counts]
    shown = counted or outcomes
    values = [v for o in counted if (v := o.value(at)) is not None]
    bests = [o.best for o in counted if o.best is not None]
    seconds = [s for o in shown if (s := o.record.seconds) is not None]
    speeds = [s for o in shown if (s := o.record.speed) is not None]
    return ConfigurationRow(
        one,
        outcomes,
        interval(values) if values else None,
        interval(bests) if bests else None,
        median(seconds) if seconds else None,
        median(speeds) if speeds else None,
        max((record.step for record in one.records), default=0),
    )


def _warnings(rows: Sequence[ConfigurationRow]) -> list[str]:
    told = []
    for row in rows:
        lost = len(row.outcomes) - len(row.counted)
        if lost and row.counted:
            told.append(
                f"{row.label}: {lost} of {len(row.outcomes)} runs do not count, as they did not "
                "finish or have no finite value; the mean is that of the others"
            )
        seeds = [o.record.seed for o in row.counted]
        if len(set(seeds)) < len(seeds):
            told.append(
                f"{row.label}: some seeds were run more than once, and each run counts; "
                "the interval is then narrower than it should be"
            )
        if row.configuration.origin.fault:
            told.append(f"{row.label}: the command is not exact: {row.configuration.origin.fault}")
    told += [fault for row in rows for o in row.outcomes for fault in o.record.faults]
    return told
