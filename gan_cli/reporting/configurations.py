"""Configurations: runs whose settings differ by the seed alone, with their values of the metric."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from gan_cli.config.reproduce import ASIDE, Origin, origin
from gan_cli.config.resume import SAFE, SAFE_GROUPS, SAFE_KEYS
from gan_cli.formatting import Interval, leaves, show
from gan_cli.reporting.metric import ReportedMetric
from gan_cli.reporting.statistics import interval
from gan_cli.runs.folder import FINISHED
from gan_cli.runs.record import Record

FINAL, BEST = "final", "best"
HERE = tuple(key for key in SAFE if key != "max_time")  # a time limit does change what is learned
NOT_SET = "-"
LARGEST = 1e150  # of a value; squares of larger ones overflow
GROUPS = ("model", "data", "experiment", "network", "loss", "penalty", "prior", "optimizer")
MOST_COLUMNS = 6  # that are added to distinguish two configurations


@dataclass(frozen=True)
class RunOutcome:
    """A run's values of the metric."""

    record: Record
    final: float | None  # at its last point
    best: float | None  # of the points after step 0
    best_step: int | None
    value: float | None  # the one of them that means and tests take

    @property
    def counts(self) -> bool:
        """Whether it takes part in means and tests."""
        return self.record.state == FINISHED and self.final is not None


def outcome(record: Record, metric: ReportedMetric, at: str) -> RunOutcome:
    """A run's final and best value of the metric; one beyond `LARGEST` has diverged: no value."""
    curve = record.curve(metric.name)
    last = record.last(metric.name)
    final = last if last is not None and abs(last) < LARGEST else None
    after = {step: v for step, v in curve.items() if step > 0 and abs(v) < LARGEST}
    best = metric.best([*after.values()]) if after else None
    step = next((step for step, v in after.items() if v == best), None)
    return RunOutcome(record, final, best, step, final if at == FINAL else best)


@dataclass
class Configuration:
    """Runs of the same settings.

    Attributes:
        outcomes: of its runs.
        config: all settings, {} where none could be read.
        origin: the command that leads to them.
        settings: those that differ between configurations.
        label: short, and its own.
    """

    outcomes: list[RunOutcome]
    config: dict[str, Any]
    origin: Origin
    settings: dict[str, str] = field(default_factory=dict)
    label: str = ""

    @property
    def command(self) -> str:
        """The line that trains all its seeds again."""
        return self.origin.command(
            sorted({o.record.seed for o in self.outcomes if o.record.seed is not None})
        )

    @property
    def counted(self) -> list[RunOutcome]:
        """The outcomes that take part in means and tests."""
        return [one for one in self.outcomes if one.counts]

    @property
    def values(self) -> list[float]:
        """The metric of the seeds that count."""
        return [one.value for one in self.counted if one.value is not None]

    @property
    def by_seed(self) -> dict[int, float]:
        """Of each seed the last run's value."""
        return {
            one.record.seed: one.value
            for one in self.counted
            if one.record.seed is not None and one.value is not None
        }

    @property
    def metric(self) -> Interval | None:
        """The mean of the values and its interval."""
        return interval(self.values) if self.values else None

    @property
    def best(self) -> Interval | None:
        """The mean of the best values, and its interval."""
        values = [one.best for one in self.counted if one.best is not None]
        return interval(values) if values else None

    @property
    def seconds(self) -> float | None:
        """Of training, the median of the runs that count, or of all where none does."""
        return _median(one.record.seconds for one in self.counted or self.outcomes)

    @property
    def speed(self) -> float | None:
        """Images a second, likewise."""
        return _median(one.record.speed for one in self.counted or self.outcomes)

    @property
    def step(self) -> int:
        """Of the run that came furthest."""
        return max(one.record.step for one in self.outcomes)

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in which state."""
        return Counter(one.record.state for one in self.outcomes)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def group(outcomes: Sequence[RunOutcome]) -> list[Configuration]:
    """The configurations, in the order of their first runs.

    Settings that an older run lacks, as they were added later, count as their defaults.
    """
    same: dict[str, list[RunOutcome]] = {}
    for one in outcomes:
        same.setdefault(_identity(one.record, one.record.config), []).append(one)
    found: dict[str, Configuration] = {}
    for some in same.values():
        record = some[0].record
        made = origin(record.config)
        config = {**record.config}
        if config and not made.fault:  # the same settings, and those that the run lacks
            config |= {key: value for key, value in made.config.items() if key not in ASIDE}
        one = Configuration([], config, made)
        found.setdefault(_identity(record, config), one).outcomes.extend(some)
    configurations = [*found.values()]
    columns = _columns([one for one in configurations if one.config])
    for one in configurations:
        one.settings = {column: value_of(one.config, column) for column in columns}
    _name(configurations)
    return configurations


def _identity(record: Record, config: Mapping[str, Any]) -> str:
    if not config:
        return str(record.folder.path)
    return json.dumps(dict(_learned(config)), sort_keys=True, default=str)


def _learned(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings on which it depends what is learned, the seed aside."""
    for key, value in leaves(config):
        if _matters(key, "choices") and value is not None:
            yield key, value


def _matters(key: str, *aside: str) -> bool:
    root = key.partition(".")[0]
    return key not in ("seed", *HERE, *SAFE_KEYS) and root not in (*SAFE_GROUPS, *aside)


def value_of(config: Mapping[str, Any], key: str) -> str:
    """The option of a group or the value of a setting, as one would type it."""
    choices = config.get("choices")
    if isinstance(choices, Mapping) and key in choices:
        return str(choices[key])
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return NOT_SET
        node = node[part]
    return show(node)


def _columns(found: Sequence[Configuration]) -> list[str]:
    """The settings that were chosen for some and differ, then what else distinguishes twins."""
    chosen = dict.fromkeys(key for one in found for key in one.origin.keys)
    keys = [key for key in chosen if key == "experiment" or _matters(key)]
    keys.sort(key=lambda key: GROUPS.index(key) if key in GROUPS else len(GROUPS))
    columns = [key for key in keys if len({value_of(one.config, key) for one in found}) > 1]
    twins: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in found:
        same = tuple(value_of(one.config, column) for column in columns)
        twins.setdefault(same, []).append(dict(_learned(one.config)))
    for some in twins.values():
        keys = dict.fromkeys(key for config in some for key in config)
        differ = [k for k in keys if len({str(config.get(k)) for config in some}) > 1]
        columns += [key for key in differ if key not in columns][:MOST_COLUMNS]
    return columns


def _name(found: Sequence[Configuration]) -> None:
    """Give each configuration a short label of its own."""
    seen: Counter[str] = Counter()
    for one in found:
        folder = one.outcomes[0].record.folder.path.name
        words = [
            value if column in GROUPS else f"{column.removeprefix('model.')}={value}"
            for column, value in one.settings.items()
        ] or [value_of(one.config, key) for key in ("model", "data")]
        one.label = " ".join(words) if one.config else folder
        seen[one.label] += 1
        if seen[one.label] > 1:
            one.label = f"{one.label} ({folder})"
