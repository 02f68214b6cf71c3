"""What a run folder tells of its run, read as a whole. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gan_cli.errors import CheckpointError
from gan_cli.runs.folder import UNKNOWN, RunFolder

Curve = dict[int, float]  # step -> value; NaN and infinity are kept
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast
SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
JUDGED = "metrics/"  # the curves that evaluations draw
PROTOCOL = ("samples", "seed", "split")  # of an evaluation; figures of others are others


@dataclass(frozen=True)
class Judgement:
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
    figures: dict[str, list[Judgement]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Running, finished, interrupted, failed, killed or unknown."""
        return str(self.status["status"])

    @property
    def step(self) -> int:
        """The last step that is known to be done: status.json's, or a later point's."""
        points = [max(curve) for curve in self.curves.values() if curve]
        return max([int(self.status["step"] or 0), *points])

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def choices(self) -> dict[str, str]:
        """The option that was taken of each group."""
        chosen = self.config.get("choices")
        return dict(chosen) if isinstance(chosen, Mapping) else {}

    def curve(self, name: str) -> Curve:
        """The curve `name`, or the figure of that name over the steps: from both sources."""
        drawn = dict(self.curves.get(name) or self.curves.get(JUDGED + name, {}))
        for step, found in self.judgements(name).items():
            drawn.setdefault(step, found.value)
        return dict(sorted(drawn.items()))

    def judgements(self, name: str) -> dict[int, Judgement]:
        """One figure of that name a step: of averaged weights and by the run's protocol, if any."""
        asked = self.config.get("evaluation")
        asked = asked if isinstance(asked, Mapping) else {}
        chosen: dict[int, tuple[tuple[int, int], Judgement]] = {}
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
        root = yaml.load(folder.read_config() or "", Loader=LOADER)  # safe, as its name says
    except (CheckpointError, yaml.YAMLError) as error:
        faults.append(f"{folder.config}: cannot be read: {' '.join(str(error).split())}")
        return {}
    if isinstance(root, dict):
        return root
    faults.append(f"{folder.config}: holds no settings")
    return {}


def _curves(path: Path, faults: list[str]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return curves
    except OSError as cause:
        faults.append(f"{path}: cannot be read: {cause.strerror or cause}")
        return curves
    for line in lines:
        try:
            point = json.loads(line)
            step = int(point.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # being written just now, or cut off by a crash
        for name, value in point.items():
            if name != "time" and (number := _number(value)) is not None:
                curves.setdefault(name, {})[step] = number
    return curves


def _judgements(path: Path, faults: list[str]) -> Iterator[tuple[str, Judgement]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        step, weights = int(content["step"]), str(content.get("weights", ""))
        figures = [(str(figure["name"]), figure) for figure in content["figures"]]
    except (OSError, ValueError, KeyError, TypeError) as cause:
        faults.append(f"{path}: cannot be read: {type(cause).__name__}: {cause}")
        return
    for name, figure in figures:
        if (value := _number(figure.get("value"))) is not None:
            protocol = figure.get("protocol") or {}
            floor = _number(figure.get("floor"))
            better = str(figure.get("better") or "")
            yield name, Judgement(step, value, better, floor, protocol, weights)


def _number(value: object) -> float | None:
    """A number, or the text of one that JSON does not know ("nan", "inf", "-inf")."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
