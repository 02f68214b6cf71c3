"""Stops a run that has diverged, and warns of one that no longer learns."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gan_cli.callbacks.callback import Callback
from gan_cli.errors import UserError

log = logging.getLogger(__name__)

WATCHED = ("loss/", "gradient_norm/", "weight_norm/")
PATIENCE = 20  # points of the curves
WON = 0.99  # D's accuracy from which it has all but won
VANISHED = 0.01  # of the largest gradient norm that the generator had


class DivergenceError(UserError):
    """A loss, gradient or weight is NaN or infinite; what is in memory is not worth saving.

    Args:
        message: for the user.
        finite: the last step at which the curves were finite, where that is known.
    """

    def __init__(self, message: str, finite: int | None = None) -> None:
        super().__init__(message)
        self.finite = finite


class Health(Callback):
    """Put last, so that the others still record the point that ends the run.

    Args:
        checkpoints: their folder, so that the message can name a file to go on from.
    """

    fatal = (DivergenceError,)

    def __init__(self, checkpoints: Path | None = None) -> None:
        self.checkpoints = checkpoints
        self._finite = 0  # the last step with finite scalars
        self._saved: list[int] = []
        self._largest, self._bad, self._warned = 0.0, 0, False

    def start(self, step: int) -> None:
        self._finite = step
        self._saved = [step] if step else []

    def saved(self, step: int) -> None:
        self._saved.append(step)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        """Look at the scalars.

        Raises:
            DivergenceError: one of them is not finite.
        """
        watched = {name: v for name, v in scalars.items() if name.startswith(WATCHED)}
        broken = [f"{name} is {v}" for name, v in watched.items() if not math.isfinite(v)]
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            raise DivergenceError(
                f"step {step}: {', '.join(broken[:3])}{more}; the run has diverged. Try a "
                "lower learning rate (optimizer.lr), clipped gradients (optimizer.clip_norm=1) or "
                f"runtime.precision=fp32; {self._way_back()}",
                self._finite,
            )
        self._finite = step
        self._look_for_a_lost_game(step, scalars)

    def _way_back(self) -> str:
        # What was saved after the last finite point may hold the fault already.
        good = [step for step in self._saved if step <= self._finite]
        if not good:
            return "there is no checkpoint from before it"
        name = f"step_{good[-1]:08d}.pt"
        if self.checkpoints is not None and (self.checkpoints / name).exists():
            return f"the last good checkpoint is {self.checkpoints / name}"
        return f"the last good state was saved at step {good[-1]}"

    def _look_for_a_lost_game(self, step: int, scalars: Mapping[str, float]) -> None:
        """Warn once when D is always right and the generator has long had no gradient."""
        accuracy, norm = scalars.get("accuracy/all"), scalars.get("gradient_norm/generator")
        if accuracy is None or norm is None or self._warned:
            return
        self._largest = max(self._largest, norm)
        lost = accuracy >= WON and norm <= VANISHED * self._largest
        self._bad = self._bad + 1 if lost else 0
        if self._bad >= PATIENCE:
            self._warned = True
            log.warning(
                f"step {step}: the discriminator is always right (accuracy {accuracy:.3f}) and the "
                f"generator's gradient has all but vanished ({norm:.2g}, once "
                f"{self._largest:.2g}): it hardly learns any more. Try loss=non_saturating, "
                "a lower optimizer.discriminator.lr, penalty=r1 or model=wgan_gp."
            )
