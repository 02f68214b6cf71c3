"""Configurations: runs whose settings differ by the seed alone, with their values of the metric."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from gan_cli.config.reproduce import ASIDE, Origin, origin
from gan_cli.config.resume import SAFE, SAFE_GROUPS, SAFE_KEYS
from gan_cli.console import ignore
from gan_cli.formatting import Interval, leaves, show
from gan_cli.reporting.metric import ReportedMetric
from gan_cli.reporting.statistics import interval
from gan_cli.runs.folder import FINISHED
from gan_cli.runs.record import Record

FINAL, BEST = "final", "best"
LIMIT = "max_time"
HERE = tuple(key for key in SAFE if key != LIMIT)  # it changes what is learned where it ends a run
NOT_SET = "-"
LARGEST = 1e150  # of a value; squares of larger ones overflow
GROUPS = ("model", "data", "experiment", "network", "loss", "penalty", "prior", "optimizer")
MOST_COLUMNS = 6  # that are added to distinguish two configurations
HISTORY = "history"  # stands beside the settings where a run was trained with several
UNKNOWN = "unknown data"  # of runs whose settings cannot be read
# Evaluations compare with the same samples whatever these are.
SAME_DATA = ("_target_", "workers", "flip", "dequantise", "skip_broken")
FOLDER = "folder"  # the data set that is named after its folder


@dataclass(frozen=True)
class RunOutcome:
    """A run's values of the metric."""

    record: Record
    final: float | None = None  # at its last point
    final_step: int | None = None
    best: float | None = None  # of the points after step 0
    best_step: int | None = None
    at: str = FINAL  # or BEST: the value that means and tests take

    @property
    def value(self) -> float | None:
        """The value that means and tests take."""
        return self.final if self.at == FINAL else self.best

    @property
    def step(self) -> int | None:
        """The step of the value."""
        return self.final_step if self.at == FINAL else self.best_step

    @property
    def counts(self) -> bool:
        """Whether it takes part in means and tests."""
        return self.record.state == FINISHED and self.final is not None


def outcome(record: Record, metric: ReportedMetric | None, at: str) -> RunOutcome:
    """A run's final and best value of the metric, after step 0.

    One beyond `LARGEST` has diverged: no value. Step 0 is a model before training.
    """
    if metric is None:
        return RunOutcome(record, at=at)
    curve = record.curve(metric.name, metric.conditions)
    after = {step: value for step, value in curve.items() if step > 0}
    kept = {step: value for step, value in after.items() if abs(value) < LARGEST}
    last = max(after, default=None)
    best = metric.best([*kept.values()]) if kept else None
    where = next((step for step, value in kept.items() if value == best), None)
    final = kept.get(last) if last is not None else None
    return RunOutcome(record, final, last if final is not None else None, best, where, at)


@dataclass
class Configuration:
    """Runs of the same settings.

    Attributes:
        records: its runs.
        config: all settings, {} where none could be read.
        origin: the command that leads to them.
        outcomes: of its runs.
        measured_by: the metric of the outcomes.
        settings: those that differ between configurations.
        label: short, and its own.
    """

    records: list[Record]
    config: dict[str, Any]
    origin: Origin
    outcomes: list[RunOutcome] = field(default_factory=list)
    measured_by: ReportedMetric | None = None
    settings: dict[str, str] = field(default_factory=dict)
    label: str = ""

    def measure(self, metric: ReportedMetric | None, at: str) -> None:
        """Set the outcomes; `at` is FINAL or BEST."""
        self.measured_by = metric
        self.outcomes = [outcome(record, metric, at) for record in self.records]

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The option of each group."""
        found = self.config.get("choices")
        return found if isinstance(found, Mapping) else {}

    @property
    def command(self) -> str:
        """The line that trains all its seeds again."""
        return self.origin.command(
            sorted({record.seed for record in self.records if record.seed is not None})
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
    def bests(self) -> list[float]:
        """The best values of the runs that count."""
        return [one.best for one in self.counted if one.best is not None]

    @property
    def best(self) -> Interval | None:
        """The mean of the best values, and its interval."""
        return interval(self.bests) if self.bests else None

    @property
    def error(self) -> float | None:
        """The standard error of a single value, where its evaluation gives one."""
        counted = self.counted
        if len(counted) != 1 or self.measured_by is None:
            return None
        one = counted[0]
        found = one.record.evaluations(self.measured_by.name, self.measured_by.conditions)
        return found[one.step].error if one.step in found else None

    @property
    def seconds(self) -> float | None:
        """Of training, the median of the runs that count, or of all where none does."""
        return _median(one.record.seconds for one in self.counted or self.outcomes)

    @property
    def speed(self) -> float | None:
        """Images a second, likewise."""
        return _median(one.record.speed for one in self.counted or self.outcomes)

    @property
    def steps(self) -> list[int]:
        """Those of the values, or the last ones of the runs where there are no values."""
        valued = [one.step for one in self.counted or self.outcomes if one.step is not None]
        return sorted(set(valued or [record.step for record in self.records]))

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in which state."""
        return Counter(record.state for record in self.records)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def group(
    records: Sequence[Record],
    keys: Sequence[str] = (),
    advance: Callable[[int], object] = ignore,
) -> list[Configuration]:
    """The configurations, in the order of their first runs.

    Settings that an older run lacks, as they were added later, count as their defaults. A
    `max_time` counts only if it ended one of the runs. A run whose earlier steps had other
    settings, by force or a rollback, has a `HISTORY`, and its command is not exact.

    Args:
        records: the runs.
        keys: the settings that differ, where they are known, as in a sweep; else the settings are
            compared with those that each run's command composes to, which takes longer.
        advance: told the number of runs of each group of equal ones, once it is done.
    """
    ended = {_identity(record, _config(record)) for record in records if _ended_by_limit(record)}
    same: dict[str, list[Record]] = {}
    for record in records:
        config = _config(record)
        if _identity(record, config) not in ended:
            config = {key: value for key, value in config.items() if key != LIMIT}
        same.setdefault(_identity(record, config), []).append(record)
    found: dict[str, Configuration] = {}
    for some in same.values():
        made = Origin(()) if keys else origin(some[0].config)
        config = _config(some[0])
        limited = _identity(some[0], config) in ended
        if config and not made.fault:  # the same settings, and those that the run lacks
            config |= {key: value for key, value in made.config.items() if key not in ASIDE}
        if not limited:
            config.pop(LIMIT, None)
        if history := config.get(HISTORY):
            made = replace(made, fault=f"earlier steps had other settings: {history}")
        one = Configuration([], config, made)
        found.setdefault(_identity(some[0], config), one).records.extend(some)
        advance(len(some))
    return [*found.values()]


def describe(found: Sequence[Configuration], keys: Sequence[str] = ()) -> None:
    """Give configurations of one data set the settings in which they differ, and labels."""
    known = [one for one in found if one.config]
    columns = [key for key in keys if _matters(key) or key in GROUPS] or _columns(known)
    columns = [key for key in columns if len({value_of(one.config, key) for one in known}) > 1]
    for one in found:
        one.settings = {column: value_of(one.config, column) for column in columns}
    _name(found)


def short(keys: Sequence[str]) -> list[str]:
    """Names of settings without their group, where that is clear: lr for optimizer.lr."""
    names = [key.partition(".")[2] or key for key in keys]
    seen = Counter(names)
    pairs = zip(keys, names, strict=True)
    return [name if seen[name] == 1 and name not in GROUPS else key for key, name in pairs]


def _ended_by_limit(record: Record) -> bool:
    """Whether a run with a `max_time` finished before its last step."""
    steps, limit = record.status.get("steps"), record.config.get(LIMIT)
    early = isinstance(steps, int) and record.step < steps
    return limit is not None and record.state == FINISHED and early


def _config(record: Record) -> dict[str, Any]:
    """The settings, and those of earlier steps where they were others."""
    history = record.history
    return record.config | ({HISTORY: history} if history and record.config else {})


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
        folder = one.records[0].folder.path.name
        names = zip(one.settings.items(), short([*one.settings]), strict=True)
        words = [
            value if key in GROUPS else f"{name}={value}"
            for (key, value), name in names
            if value != NOT_SET
        ]
        one.label = " ".join(words or [value_of(one.config, "model")]) if one.config else folder
        seen[one.label] += 1
        if seen[one.label] > 1:
            one.label = f"{one.label} ({folder})"


def by_data(found: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    """The configurations of each data set, by its name: those of others are never compared."""
    sets: dict[tuple[tuple[str, str], ...], list[Configuration]] = {}
    for one in found:
        sets.setdefault(_data_of(one.config), []).append(one)
    names = {key: _data_name(some[0].config) for key, some in sets.items()}
    seen = Counter(names.values())
    made: dict[str, list[Configuration]] = {}
    for key, some in sets.items():
        twins = [dict(other) for other in sets if names[other] == names[key]]
        differ = [
            f"{setting}={value}"
            for setting, value in key
            if len({twin.get(setting) for twin in twins}) > 1
        ]
        more = f" ({', '.join(differ)})" if seen[names[key]] > 1 else ""
        made.setdefault(names[key] + more, []).extend(some)
    return made


def _data_of(config: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    data = config.get("data")
    settings = leaves(data) if isinstance(data, dict) else ()
    known = [(key, show(value)) for key, value in settings if key not in SAME_DATA]
    return ("data", value_of(config, "data") if config else UNKNOWN), *sorted(known)


def _data_name(config: dict[str, Any]) -> str:
    if not config:
        return UNKNOWN
    name, root = value_of(config, "data"), value_of(config, "data.root")
    return Path(root).name if name == FOLDER and root else name
