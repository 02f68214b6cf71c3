"""The hooks that a run offers."""

from __future__ import annotations

from collections.abc import Mapping

from numpy import ndarray
from torch import Tensor


class Callback:
    """Told what happens in a run; every hook does nothing unless overridden.

    `step` is the number of completed steps everywhere, so the first is 1 and 0 is before training.
    """

    def start(self, step: int) -> None:
        """Training begins (0) or goes on (the resumed step)."""

    def stepped(self, step: int) -> None:
        """One step is done. Must be cheap: no device reads."""

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        """The scalars' means since the last log, and vectors whose distribution is of interest."""

    def drawn(self, step: int, pictures: Mapping[str, ndarray]) -> None:
        """Pictures by name, each uint8 [height, width, channels] with 1 or 3 channels."""

    def evaluated(
        self, step: int, figures: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        """What an evaluation found; figures by their curve's name, such as "metrics/kid"."""

    def saved(self, step: int) -> None:
        """A checkpoint is on disk."""

    def end(self, step: int, status: str) -> None:
        """The run is over: finished, interrupted or failed. Called once, whatever happened."""
