"""What a run folder tells of its run, read as a whole. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_cli import foreign
from gan_cli.errors import CheckpointError
from gan_cli.runs.folder import UNKNOWN, RunFolder

Curve = dict[int, float]  # step -> value; NaN and infinity are kept
LONGEST = 1 << 30  # bytes of curves
SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
JUDGED = "metrics/"  # the curves that evaluations draw
PROTOCOL = ("samples", "seed", "split")  # of an evaluation; figures of others are others


@dataclass(frozen=True)
class MetricRecord:
    """A figure of one step, from evaluations/."""

    step: int
    value: float
    better: str  # "lower", "higher" or ""
    floor: float | None
    protocol: Mapping[str, Any]
    weights: str


@dataclass
class Record:
    """A run's settings, status, curves and figures.

    Args:
        folder: the run's.
        config: config.yaml as plain values, {} where there is none.
        status: as `RunFolder.read_status` returns it.
        curves: by name, as in metrics.jsonl.
        figures: by name, from evaluations/.
        faults: files that could not be read, in words.
    """

    folder: RunFolder
    config: dict[str, Any]
    status: dict[str, Any]
    curves: dict[str, Curve] = field(default_factory=dict)
    figures: dict[str, list[MetricRecord]] = field(default_factory=dict)
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
        """The step of the newest state that is saved, where it is known; None where none is."""
        if not any(self.folder.checkpoints.glob("*.pt")):
            return None
        step = self.status.get("saved", self.status["step"])
        return step if isinstance(step, int) else 0

    @property
    def rest(self) -> str:
        """What resuming the run starts from, in words."""
        if self.saved is None:
            return "no state was saved, so gan-train resume=RUN starts from step 0"
        if "saved" not in self.status:  # written by an earlier version
            return "gan-train resume=RUN continues from its last checkpoint"
        return f"gan-train resume=RUN continues from the state saved at step {self.saved:,}"

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def choices(self) -> dict[str, str]:
        """The option that was taken of each group."""
        chosen = self.config.get("choices")
        return {str(g): str(o) for g, o in chosen.items()} if isinstance(chosen, Mapping) else {}

    def curve(self, name: str) -> Curve:
        """The curve `name`, or the figure of that name over the steps: from both sources."""
        drawn = dict(self.curves.get(name) or self.curves.get(JUDGED + name, {}))
        for step, found in self.judgements(name).items():
            drawn.setdefault(step, found.value)
        return dict(sorted(drawn.items()))

    def judgements(self, name: str) -> dict[int, MetricRecord]:
        """One figure of that name a step: of averaged weights and by the run's protocol, if any."""
        asked = self.config.get("evaluation")
        asked = asked if isinstance(asked, Mapping) else {}
        chosen: dict[int, tuple[tuple[int, int], MetricRecord]] = {}
        for found in self.figures.get(name, []):
            agrees = sum(found.protocol.get(key) == asked.get(key) for key in PROTOCOL)
            rank = (int(found.weights != "raw"), agrees)
            if found.step not in chosen or rank >= chosen[found.step][0]:
                chosen[found.step] = rank, found
        return {step: found for step, (_, found) in chosen.items()}

    @cached_property
    def seconds(self) -> float | None:
        """Time spent on training alone; None where the curves do not tell."""
        total, before = 0.0, 0
        for step, pace in sorted(self.curves.get(PACE, {}).items()):
            total, before = total + pace * (step - before), step
        return total if before else None

    @cached_property
    def speed(self) -> float | None:
        """Images a second: the median over the curve."""
        values = sorted(v for v in self.curves.get(SPEED, {}).values() if math.isfinite(v))
        return values[len(values) // 2] if values else None

    def names(self) -> list[str]:
        """All that can be compared: figures, then curves."""
        judged = [name.removeprefix(JUDGED) for name in self.curves if name.startswith(JUDGED)]
        others = [name for name in self.curves if not name.startswith(JUDGED)]
        return list(dict.fromkeys([*judged, *self.figures, *others]))


def read(folder: RunFolder) -> Record:
    """Read a run's folder; what is missing or damaged is told in `faults`, never raised."""
    faults: list[str] = []
    try:
        status = folder.read_status()
    except CheckpointError as error:
        faults.append(str(error))
        status = {"status": UNKNOWN, "step": None}
    record = Record(folder, _config(folder, faults), status, faults=faults)
    record.curves = _curves(folder.metrics, faults)
    for path in sorted(folder.evaluations.glob("step_*.json")):
        for name, found in _judgements(path, faults):
            record.figures.setdefault(name, []).append(found)
    return record


def _config(folder: RunFolder, faults: list[str]) -> dict[str, Any]:
    try:
        root = foreign.parse_yaml(folder.read_config() or "", folder.config)
    except CheckpointError as error:
        faults.append(str(error))
        return {}
    if isinstance(root, dict):
        return {str(key): value for key, value in root.items()}
    faults.append(f"{folder.config}: holds no settings")
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
    for line in lines:
        if (point := foreign.point(line)) is None:
            continue  # being written just now, or cut off by a crash
        step, values = point
        for name, value in values.items():
            if name != "time":
                curves.setdefault(name, {})[step] = value
    return curves


def _judgements(path: Path, faults: list[str]) -> Iterator[tuple[str, MetricRecord]]:
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
        faults.append(f"{path}: cannot be read (is no evaluation: has no step or no figures)")
        return
    weights = str(content.get("weights", ""))
    for figure in figures:
        if not isinstance(figure, dict) or not isinstance(name := figure.get("name"), str):
            faults.append(f"{path}: cannot be read in part (a figure has no name)")
        elif (value := foreign.number(figure.get("value"))) is not None:
            protocol = figure.get("protocol")
            protocol = protocol if isinstance(protocol, dict) else {}
            floor = foreign.number(figure.get("floor"))
            better = figure.get("better")
            better = better if better in ("lower", "higher") else ""
            yield name, MetricRecord(step, value, better, floor, protocol, weights)
