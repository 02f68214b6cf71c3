"""Runs read from their folders: settings, status, curves and metrics. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_cli import foreign
from gan_cli.errors import CheckpointError
from gan_cli.formatting import assignment, shell_command, user_path
from gan_cli.runs.folder import (
    DEFAULT_ROOT,
    UNKNOWN,
    RunFolder,
    below,
    forced_changes,
    is_run,
    rollbacks,
)
from gan_cli.runs.lookup import find

Curve = dict[int, float]  # step -> value; NaN and infinity are kept
LONGEST = 1 << 30  # bytes of curves
SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
EVALUATED = "metrics/"  # the curves that evaluations draw
PROTOCOL = ("samples", "seed", "split")  # of an evaluation; others give other values
CONDITIONS = (*PROTOCOL, "extractor_sha256", "data_sha256", "resize")
Conditions = tuple[str, ...]  # values of CONDITIONS


@dataclass(frozen=True)
class MetricRecord:
    """A metric at one step, from evaluations/."""

    step: int
    value: float
    better: str  # "lower", "higher" or ""
    baseline: float | None  # real-vs-real
    protocol: Mapping[str, Any]
    weights: str
    error: float | None = None  # standard error of the value, where it is known

    @property
    def conditions(self) -> Conditions:
        """What makes other values of the metric comparable with this one."""
        return tuple(str(self.protocol.get(key, "")) for key in CONDITIONS)


@dataclass(frozen=True)
class Alarm:
    """A fault of a run that trains on; see `callbacks.health`.

    Attributes:
        name: such as "mode_collapse".
        step: at which it was seen.
        words: what was seen, and what may help.
    """

    name: str
    step: int
    words: str

    def __str__(self) -> str:
        return f"step {self.step:,}: {self.name.replace('_', ' ')}: {self.words}"


def alarms_of(status: Mapping[str, Any]) -> list[Alarm]:
    """The alarms in a run's status, in their order; an entry that is none is left out."""
    found = [one for one in status.get("alarms") or [] if isinstance(one, dict)]
    kinds = {"name": str, "step": int, "words": str}
    whole = [one for one in found if all(type(one.get(k)) is t for k, t in kinds.items())]
    return [Alarm(one["name"], one["step"], one["words"]) for one in whole]


@dataclass
class Record:
    """A run's settings, status, curves and metrics.

    Args:
        folder: the run's.
        config: config.yaml as plain values, {} where there is none.
        status: as `RunFolder.read_status` returns it.
        curves: by name, as in metrics.jsonl.
        metrics: by name, from evaluations/.
        faults: a message for each file that could not be read.
    """

    folder: RunFolder
    config: dict[str, Any]
    status: dict[str, Any]
    curves: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, list[MetricRecord]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Running, finished, interrupted, failed, killed or unknown."""
        return str(self.status["status"])  # one of `folder.STATES`

    @property
    def step(self) -> int:
        """The last step that is known to be done: status.json's, or a later point's."""
        points = [max(curve) for curve in self.curves.values() if curve]
        return max([int(self.status["step"] or 0), *points])

    @property
    def saved(self) -> int | None:
        """The step of the newest saved state, 0 where it is unknown; None where none is saved."""
        if not any(self.folder.checkpoints.glob("*.pt")):
            return None
        step = self.status.get("saved", self.status["step"])
        return step if isinstance(step, int) else 0

    @property
    def pruned(self) -> bool:
        """Whether a study ended the run early."""
        trial = self.status.get("trial")
        return isinstance(trial, dict) and trial.get("state") == "pruned"

    @property
    def alarms(self) -> list[Alarm]:
        """The alarms of the run."""
        return alarms_of(self.status)

    @property
    def history(self) -> str:
        """The settings of its earlier steps, where they are not the run's; else nothing."""
        words = [
            f"{', '.join(map(str, one['before']))} before step {one['step']:,}"
            for one in forced_changes(self.status)
        ]
        # A run that went back to its start equals one that began with the lower rates.
        factors = [one["factor"] for one in rollbacks(self.status) if one["to"] > 0]
        words += [f"rollback with rates times {factor:g}" for factor in factors]
        return "; ".join(words)

    @property
    def resume(self) -> str:
        """The command that resumes the run, for a shell."""
        return shell_command("gan-train", assignment("resume", self.folder.path))

    @property
    def rest(self) -> str:
        """The step from which resuming continues."""
        if self.saved is None:
            return "no state was saved, so resuming starts from step 0"
        if "saved" not in self.status:  # written by an earlier version
            return "resuming continues from its last checkpoint"
        return f"resuming continues from the state saved at step {self.saved:,}"

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def choices(self) -> dict[str, str]:
        """The option chosen for each group."""
        chosen = self.config.get("choices")
        return {str(g): str(o) for g, o in chosen.items()} if isinstance(chosen, Mapping) else {}

    def curve(self, name: str, conditions: Conditions | None = None) -> Curve:
        """The curve or metric `name` by step, from metrics.jsonl and from evaluations/.

        Args:
            name: of the curve or metric.
            conditions: only values under these, where the run's evaluations tell them.
        """
        drawn = dict(self.curves.get(name) or self.curves.get(EVALUATED + name, {}))
        found = self.evaluations(name, conditions)
        if conditions is not None and self.metrics.get(name):
            # Points of metrics.jsonl are by the run's own protocol, which they have in common
            # unless it was changed when the run was resumed.
            own = any(drawn.get(step) == one.value for step, one in found.items())
            others = {one.step for one in self.metrics[name]} - found.keys()
            drawn = {step: v for step, v in drawn.items() if step not in others} if own else {}
        for step, one in found.items():
            if conditions is not None or step not in drawn:
                drawn[step] = one.value
        return dict(sorted(drawn.items()))

    def evaluations(
        self, name: str, conditions: Conditions | None = None
    ) -> dict[int, MetricRecord]:
        """A metric by step: with averaged weights and by the run's own protocol, if possible.

        Args:
            name: of the metric.
            conditions: only evaluations under these.
        """
        asked = self.config.get("evaluation")
        asked = asked if isinstance(asked, Mapping) else {}
        chosen: dict[int, tuple[tuple[int, int], MetricRecord]] = {}
        for found in self.metrics.get(name, []):
            if conditions not in (None, found.conditions):
                continue
            agrees = sum(found.protocol.get(key) == asked.get(key) for key in PROTOCOL)
            rank = (int(found.weights != "raw"), agrees)
            if found.step not in chosen or rank >= chosen[found.step][0]:
                chosen[found.step] = rank, found
        return {step: found for step, (_, found) in chosen.items()}

    @cached_property
    def seconds(self) -> float | None:
        """Time spent on training alone; None where there is no such curve."""
        total, before = 0.0, 0
        for step, pace in sorted(self.curves.get(PACE, {}).items()):
            total, before = total + pace * (step - before), step
        return total if before else None

    @cached_property
    def speed(self) -> float | None:
        """Images a second: the median over the curve."""
        values = sorted(v for v in self.curves.get(SPEED, {}).values() if math.isfinite(v))
        return values[len(values) // 2] if values else None

    def last(self, name: str) -> float | None:
        """The last value of a curve or metric."""
        return next(reversed(self.curve(name).values()), None)

    def names(self) -> list[str]:
        """All that can be compared: metrics, then curves."""
        evaluated = [name for name in self.curves if name.startswith(EVALUATED)]
        others = [name for name in self.curves if name not in evaluated]
        short = [name.removeprefix(EVALUATED) for name in evaluated]
        return list(dict.fromkeys([*short, *self.metrics, *others]))


def read(folder: RunFolder) -> Record:
    """Read a run's folder; a missing or damaged file adds to `faults` and raises nothing."""
    faults: list[str] = []
    try:
        status = folder.read_status()
    except CheckpointError as error:
        faults.append(str(error))
        status = {"status": UNKNOWN, "step": None}
    record = Record(folder, _config(folder, faults), status, faults=faults)
    record.curves = _curves(folder.metrics, faults)
    for path in sorted(folder.evaluations.glob("step_*.json")):
        for name, found in _evaluation(path, faults):
            record.metrics.setdefault(name, []).append(found)
    for name, some in record.metrics.items():  # raw weights are not those that the run is judged by
        averaged = [one for one in some if one.weights != "raw"]
        record.metrics[name] = averaged or some
    return record


def _config(folder: RunFolder, faults: list[str]) -> dict[str, Any]:
    try:
        root = foreign.parse_yaml(folder.read_config() or "", folder.config)
        if isinstance(root, dict):
            return {str(key): value for key, value in root.items()}
        faults.append(f"{folder.config}: holds no settings")
    except CheckpointError as error:
        faults.append(str(error))
    return {}


def _curves(path: Path, faults: list[str]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    try:
        lines = foreign.read_bytes(path, LONGEST).splitlines()
    except FileNotFoundError:
        return curves
    except CheckpointError as error:
        faults.append(str(error))
        return curves
    for step, values in filter(None, map(foreign.point, lines)):  # but for what a crash cut off
        for name, value in values.items():
            if name != "time":
                curves.setdefault(name, {})[step] = value
    return curves


def _evaluation(path: Path, faults: list[str]) -> Iterator[tuple[str, MetricRecord]]:
    try:
        content = foreign.read_json(path)
    except FileNotFoundError:
        return  # removed just now
    except CheckpointError as error:
        faults.append(str(error))
        return
    figures = content.get("figures") if isinstance(content, dict) else None
    step = content.get("step") if isinstance(content, dict) else None
    if type(step) is not int or step < 0 or not isinstance(figures, list):
        faults.append(f"{path}: cannot be read (is not an evaluation: has no step or no metrics)")
        return
    weights = str(content.get("weights", ""))
    for metric in figures:
        if not isinstance(metric, dict) or not isinstance(name := metric.get("name"), str):
            faults.append(f"{path}: cannot be read in part (a metric has no name)")
        elif (value := foreign.number(metric.get("value"))) is not None:
            protocol = metric.get("protocol")
            protocol = protocol if isinstance(protocol, dict) else {}
            baseline = foreign.number(metric.get("floor"))
            better = metric.get("better")
            better = better if better in ("lower", "higher") else ""
            error = foreign.number(metric.get("error"))
            yield name, MetricRecord(step, value, better, baseline, protocol, weights, error)


MAGIC = "*?["


class Gatherer:
    """Finds and reads runs; a run whose files have not changed is not read again."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = places or [str(DEFAULT_ROOT)]
        self._read: dict[Path, tuple[object, Record]] = {}

    def __call__(self) -> list[Record]:
        """All runs at the places, in the order of their starts within each place.

        Raises:
            CheckpointError: a place holds none.
        """
        folders = dict.fromkeys(path for place in self.places for path in runs_at(place))
        return [self._record(path) for path in folders]

    def _record(self, path: Path) -> Record:
        folder = RunFolder(path)
        stamp = _stamp(folder)
        if path not in self._read or self._read[path][0] != stamp:
            self._read[path] = stamp, read(folder)
        return self._read[path][1]


def _stamp(folder: RunFolder) -> object:
    stamps = []
    for path in (folder.config, folder.status, folder.metrics, folder.evaluations):
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size))
        except OSError:
            stamps.append(None)
    return (*stamps, folder.in_use())


def runs_at(place: str) -> list[Path]:
    """The runs at a run folder, a folder of runs, a glob, or what `find` takes.

    Raises:
        CheckpointError: there are none; the message names the nearest.
    """
    path = user_path(place)
    if not path.exists() and any(sign in place for sign in MAGIC):
        found = [run for match in sorted(matches(path)) for run in _inside(Path(match))]
        if not found:
            raise CheckpointError(f"{place}: matches no run folder")
        return found
    return _inside(path) or [find(path).path]


def _inside(path: Path) -> list[Path]:
    return [path] if is_run(path) else below(path)


def matches(pattern: Path) -> Iterable[Path]:
    """The paths that a glob matches."""
    return Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
