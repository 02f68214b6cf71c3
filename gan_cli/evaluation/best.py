"""Which step was the best so far, and whether there is still hope."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gan_cli.config.wording import hint
from gan_cli.errors import ConfigError
from gan_cli.evaluation.measure import LOWER, NEITHER, Figure
from gan_cli.evaluation.telling import SENSIBLE, number


def judged_by(wanted: str | None, figures: Sequence[Figure]) -> Figure | None:
    """The figure that says which step is best; None where there is no such figure at all.

    Args:
        wanted: evaluation.best, a figure's name; None for the most sensible one.
        figures: all there are.

    Raises:
        ConfigError: there is no figure `wanted`, or it has no better and worse.
    """
    fit = {figure.name: figure for figure in figures if figure.better != NEITHER}
    if wanted is None:
        return next((fit[name] for name in (*SENSIBLE, *fit) if name in fit), None)
    if wanted in fit:
        return fit[wanted]
    if wanted in [figure.name for figure in figures]:
        raise ConfigError(f"evaluation.best = {wanted}: has no better and worse; {_there(fit)}")
    near = hint(wanted, fit)
    raise ConfigError(f"evaluation.best = {wanted}: no such figure{near}; {_there(fit)}")


def _there(fit: Mapping[str, Figure]) -> str:
    return f"there are {', '.join(fit)}" if fit else "there are none at all"


@dataclass
class Best:
    """The best value of a figure over a run's evaluations; a part of the run's state."""

    figure: str
    better: str
    value: float | None = None  # None before the first finite one
    step: int = 0
    misses: int = 0  # evaluations since then

    def take(self, value: float | None, step: int) -> bool:
        """Note the figure at `step`, None where it could not be had; whether it is the best.

        NaN and infinity never are.
        """
        if value is not None and math.isfinite(value) and self._beats(value):
            self.value, self.step, self.misses = value, step, 0
            return True
        self.misses += 1
        return False

    def forget(self) -> None:
        """The next finite value is the best again."""
        self.value, self.step, self.misses = None, 0, 0

    def _beats(self, value: float) -> bool:
        if self.value is None:
            return True
        return value < self.value if self.better == LOWER else value > self.value

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def told(self) -> dict[str, Any]:
        """What status.json keeps."""
        return {
            "figure": self.figure,
            "better": self.better,
            "value": self.value,
            "step": self.step,
        }

    def __str__(self) -> str:
        if self.value is None:
            return f"no finite {self.figure} yet"
        return f"{self.figure} {number(self.value)} at step {self.step:,}"
