"""The findings of a report: configurations, comparisons, effects and warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gan_cli.reporting.comparison import Comparison, Effect, compare, effects
from gan_cli.reporting.configurations import Configuration, group, outcome
from gan_cli.reporting.metric import LOWER, ReportedMetric
from gan_cli.runs.folder import FINISHED, RUNNING
from gan_cli.runs.record import Record


@dataclass(frozen=True)
class Findings:
    """All that a report shows."""

    metric: ReportedMetric
    at: str  # FINAL or BEST: the value that means and tests take
    configurations: list[Configuration]  # best first
    comparisons: list[Comparison]
    effects: list[Effect]
    warnings: list[str]

    @property
    def columns(self) -> list[str]:
        """The settings that differ."""
        return list(self.configurations[0].settings)

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [one.record for found in self.configurations for one in found.outcomes]

    @property
    def troubled(self) -> list[Record]:
        """Runs that are neither finished nor running."""
        return [r for r in self.records if r.state not in (FINISHED, RUNNING)]


def find(records: Sequence[Record], metric: ReportedMetric, at: str) -> Findings:
    """Group the runs, average over seeds and compare."""
    found = group([outcome(record, metric, at) for record in records])
    sign = 1 if metric.better == LOWER else -1
    found.sort(key=lambda one: sign * one.metric.mean if one.metric else math.inf)
    warnings = dict.fromkeys([*metric.warnings, *_warnings(found)])
    return Findings(
        metric,
        at,
        found,
        compare(found, metric),
        effects(found, list(found[0].settings), metric),
        list(warnings),
    )


def _warnings(found: Sequence[Configuration]) -> list[str]:
    lines = []
    for one in found:
        lost = len(one.outcomes) - len(one.counted)
        if lost and one.counted:
            lines.append(
                f"{one.label}: {lost} of {len(one.outcomes)} runs do not count, as they did not "
                "finish or have no finite value; the mean is that of the others"
            )
        seeds = [run.record.seed for run in one.counted]
        if len(set(seeds)) < len(seeds):
            lines.append(
                f"{one.label}: some seeds were run more than once, and each run counts; "
                "the interval is then narrower than it should be"
            )
        if one.origin.fault:
            lines.append(f"{one.label}: the command is not exact: {one.origin.fault}")
    return lines + [fault for one in found for o in one.outcomes for fault in o.record.faults]
