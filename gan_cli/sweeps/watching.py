"""How far a run is, read from its folder alone, while another process trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_cli.errors import CheckpointError
from gan_cli.jobs.following import Curves
from gan_cli.runs.folder import RunFolder

SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
FIGURES = "metrics/"  # the curves that evaluations draw


class Watcher:
    """The state of a run, as of the last `look`.

    Attributes:
        step: the last step that is known to be done.
        values: the last value of each curve, by name.
        status: what status.json says, {} where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.step = 0
        self.values: dict[str, float] = {}
        self.status: dict[str, Any] = {}
        self._curves = Curves(self.run.metrics)

    def look(self) -> None:
        """Read what is new. Files that are not there yet, or damaged, tell nothing."""
        try:
            self.status = self.run.recorded() or {}
        except CheckpointError:
            self.status = {}
        self.step = self.status.get("step") or 0
        for point in self._curves.new():
            self.step = max(self.step, int(point["step"]))
            self.values |= point

    @property
    def steps(self) -> int | None:
        """The run's length, once it has begun."""
        return self.status.get("steps")

    @property
    def images_per_second(self) -> float | None:
        """As of the last point of the curves."""
        return self.values.get(SPEED)

    @property
    def left(self) -> float | None:
        """Seconds to the end at the present pace."""
        if self.steps is None or PACE not in self.values:
            return None
        return max(0, self.steps - self.step) * self.values[PACE]

    @property
    def figure(self) -> tuple[str, float] | None:
        """The best value of the figure that checkpoints are kept by, else any figure's last."""
        best = self.status.get("best")
        if best and best.get("figure") is not None and best.get("value") is not None:
            return best["figure"], best["value"]
        name = next((name for name in self.values if name.startswith(FIGURES)), None)
        return None if name is None else (name.removeprefix(FIGURES), self.values[name])
