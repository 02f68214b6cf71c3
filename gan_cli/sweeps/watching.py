"""How far a run is, read from its folder alone, while another process trains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
        if self._best:
            return self._best
        name = next((name for name in self.values if name.startswith(FIGURES)), None)
        return None if name is None else (name.removeprefix(FIGURES), self.values[name])

    @property
    def _best(self) -> tuple[str, float] | None:
        best = self.status.get("best") or {}
        name, value = best.get("figure"), best.get("value")
        return None if name is None or value is None else (name, value)

    def value(self, name: str) -> float | None:
        """The best value of a figure where checkpoints are kept by it, else its last."""
        if self._best and self._best[0] == name:
            return self._best[1]
        return self.values.get(FIGURES + name)

    def maximizes(self, name: str) -> bool:
        """Whether checkpoints are kept by this figure, and higher is better."""
        best = self.status.get("best") or {}
        return best.get("figure") == name and best.get("better") == "higher"


def shared_figure(watchers: Iterable[Watcher]) -> str | None:
    """The figure that most of the runs tell."""
    told = Counter(figure[0] for watcher in watchers if (figure := watcher.figure))
    return max(told, key=lambda name: told[name], default=None)
