"""The findings of a report, for each data set: configurations, comparisons, effects, the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from gan_cli.console import ignore
from gan_cli.formatting import counted, rounded, shell_command
from gan_cli.reporting.comparison import Comparison, Effect, compare, effects, power
from gan_cli.reporting.configurations import Configuration, by_data, describe, group, short
from gan_cli.reporting.metric import LOWER, ReportedMetric, choose, differences, named
from gan_cli.reporting.statistics import interval
from gan_cli.runs.folder import FINISHED, INTERRUPTED, RUNNING, is_run
from gan_cli.runs.record import Conditions, Record

LISTED = 4  # runs that a command names one by one, where a pattern would do


@dataclass(frozen=True)
class Findings:
    """All that a report shows of the runs on one data set."""

    data: str
    metric: ReportedMetric | None  # None where no run was evaluated
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
    def heads(self) -> list[str]:
        """Short names of the settings that differ."""
        return short(self.columns)

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [record for one in self.configurations for record in one.records]

    @property
    def valued(self) -> list[Configuration]:
        """The configurations that have a mean, best first."""
        return [one for one in self.configurations if one.metric is not None]

    @property
    def interrupted(self) -> list[Record]:
        """Runs that were stopped, and continue where one resumes them; none that a study pruned."""
        stopped = [record for record in self.records if record.state == INTERRUPTED]
        return [record for record in stopped if not record.pruned]

    @property
    def alarmed(self) -> list[Record]:
        """Runs with alarms."""
        return [record for record in self.records if record.alarms]

    @property
    def failed(self) -> list[Record]:
        """Runs that ended with an error, were killed, or have no readable status."""
        return [r for r in self.records if r.state not in (FINISHED, RUNNING, INTERRUPTED)]

    @property
    def question(self) -> str:
        """The question that a comparison answers: `Which prior is best on ring?`."""
        if len(self.configurations) == 1:
            return f"How good is {self.configurations[0].label} on {self.data}?"
        one = self.heads[0] if len(self.heads) == 1 else "configuration"
        return f"Which {one} is best on {self.data}?"

    @property
    def answer(self) -> list[str]:
        """The best configuration and whether the difference is significant, by sentences."""
        if self.metric is None:
            return ["Not known yet: no run has been evaluated."]
        found, name = self.valued, self.metric.name
        if not found:
            return [f"Not known yet: no run has finished with a value of {name}."]
        first = found[0]
        value = f"{name} {spread(first.values, first.error)}"
        if len(found) == 1:
            only = "" if len(self.configurations) == 1 else f"Only {first.label} has a value: "
            return [f"{only}{value} ({self.metric.better} is better)."]
        ahead = [one.better for one in self.comparisons if one.clear and one.worse == first.label]
        if ahead:
            beat = f"{', '.join(ahead)} {'beats' if len(ahead) == 1 else 'beat'} it by the ranks"
            return [
                f"{first.label} has the best mean, {value}, but {beat}: an outlier decides a mean."
            ]
        mine = [one for one in self.comparisons if one.better == first.label]
        beaten = [one.worse for one in mine if one.clear]
        if mine and len(beaten) == len(found) - 1:
            return [f"{first.label}: it beats each of the others, {value}."]
        if beaten:
            others = "other differences are not significant"
            return [f"{first.label}, {value}. It beats {', '.join(beaten)}; {others}."]
        if mine:
            more = power(self.comparisons)
            text = f"No significant difference; {first.label} has the best mean {value}."
            return [text, *([more] if more else [])]
        return [f"{first.label} has the best {value}. Without two seeds of each, there is no test."]

    @property
    def unevaluated(self) -> list[Record]:
        """Runs without a value that could be evaluated."""
        return [
            one.record
            for found in self.configurations
            for one in found.outcomes
            if one.final is None
            and one.record.state in (FINISHED, INTERRUPTED)
            and one.record.saved is not None
        ]

    @property
    def advice(self) -> tuple[str, str] | None:
        """A sentence on runs without a value to compare, and the command that evaluates them."""
        missing = self.unevaluated
        if not missing:
            return None
        if self.metric is None:
            return "To evaluate them, run this", evaluation(missing)
        name, conditions = self.metric.name, self.metric.conditions
        other = [one[-1].conditions for r in missing if (one := r.metrics.get(name))]
        other = [one for one in other if one != conditions]
        if conditions and other:
            ours, theirs = differences(conditions, other[0])
            what = f"{counted(len(other), 'run')} {'was' if len(other) == 1 else 'were'} evaluated"
            text = f"{what} with {theirs} and the others with {ours}, so not compared"
        else:
            n = len(missing)
            text = f"{counted(n, 'run')} {'has' if n == 1 else 'have'} not been evaluated by {name}"
        return f"{text}; run this", evaluation(missing, self.metric.conditions)


def spread(values: Sequence[float], error: float | None = None, deviation: bool = False) -> str:
    """`12.3 ± 1.1`, the mean and half of its interval, with the digits that the latter leaves.

    Args:
        values: of the seeds.
        error: of a single value, for which there is no interval.
        deviation: the standard deviation of the values instead of the interval.
    """
    mean, half = interval(values).mean, interval(values).half
    if half is None:
        return rounded(error, mean)[0]
    half = stdev(values) if deviation else half
    return " ± ".join(rounded(half, mean, half))


def evaluation(records: Sequence[Record], conditions: Conditions | None = None) -> str:
    """The command that evaluates runs, for a shell.

    Args:
        records: the runs; where they are all of some folders, the command has patterns.
        conditions: those of the values that they are compared with.
    """
    paths = [record.folder.path for record in records]
    parents = list(dict.fromkeys(path.parent for path in paths))
    words = [shell_command(path) for path in paths]
    if len(paths) > LISTED and all(_all_runs(parent) <= set(paths) for parent in parents):
        words = [f"{shell_command(parent)}/*/config.yaml" for parent in parents]
    options = []
    if conditions is not None:
        samples, seed, split, *_, resize = conditions
        options += ["--samples", samples] if samples.isdigit() else []
        options += ["--seed", seed] if seed not in ("", "0") else []
        options += ["--split", split] if split == "test" else []
        options += ["--resize", "clean"] if "clean-fid" in resize else []
    return " ".join(["gan-eval", *words, shell_command(*options)]).rstrip()


def _all_runs(folder: Path) -> set[Path]:
    return {path.parent for path in folder.glob("*/config.yaml") if is_run(path.parent)}


def find(
    records: Sequence[Record],
    wanted: str | None = None,
    better: str | None = None,
    at: str = "final",
    keys: Sequence[str] = (),
    advance: Callable[[int], object] = ignore,
) -> list[Findings]:
    """Group the runs by data set and configuration, average over seeds and compare.

    Args:
        records: the runs.
        wanted: the metric to compare by; None: the most telling one of each data set.
        better: LOWER, HIGHER, or None where the runs tell.
        at: FINAL or BEST.
        keys: settings that differ, where they are known.
        advance: told how many more runs are done.

    Raises:
        ConfigError: no run has the metric, or its direction is not known.
    """
    metric = None if wanted is None else named(records, wanted)
    sets = by_data(group(records, keys, advance)).items()
    found = [_find(data, some, metric, better, at, keys) for data, some in sets]
    return sorted(found, key=lambda one: (one.metric is None, one.data))


def _find(
    data: str,
    found: list[Configuration],
    wanted: str | None,
    better: str | None,
    at: str,
    keys: Sequence[str],
) -> Findings:
    describe(found, keys)
    metric = choose([record for one in found for record in one.records], wanted, better)
    for one in found:
        one.measure(metric, at)
    if metric is None:
        return Findings(data, None, at, found, [], [], _warnings(found))
    sign = 1 if metric.better == LOWER else -1
    found.sort(key=lambda one: sign * one.metric.mean if one.metric else math.inf)
    return Findings(
        data,
        metric,
        at,
        found,
        compare(found, metric),
        effects(found, list(found[0].settings), metric),
        list(dict.fromkeys([*metric.warnings, *_warnings(found)])),
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
    return lines + [fault for one in found for record in one.records for fault in record.faults]
