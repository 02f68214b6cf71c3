"""Stops a run that has diverged, and names what ails one that goes on."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from torch import Tensor

from gan_cli.callbacks.callback import Callback, Callbacks, RunContext
from gan_cli.errors import UserError
from gan_cli.runs.record import Alarm, alarms_of

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

WATCHED = ("loss/", "gradient_norm/", "weight_norm/")
PATIENCE = 20  # points of the curves that a state must last
WON = 0.99  # D's accuracy from which it has all but won
VANISHED = 0.01  # of the largest gradient norm that the generator had
SURE = 0.999  # probability of D from which its sigmoid is flat
STEEP = 2.0  # root mean square of |slope| - 1; healthy critics begin above 1, and fall
ALIKE = 0.2  # of the real samples' mean distance from each other
RISING = 1.2  # times as diverse as ever before: a generator that still begins
DEAD = 0.97  # share of a layer's units; healthy generators of the ring lose up to 0.93
HELD = 0.95  # share of a critic's weights; healthy critics of the ring have up to 0.86
LOOKS = 2  # pictures in a row that a state must last
STARVED = 0.3  # share of the time
COPIED = 0.1  # share of samples; 1 % of unseen real ones are as close
CYCLE = 96  # points of the curves in which a loss is searched for a period
PERIODIC = 0.6  # autocorrelation of a period
SWING = 0.2  # deviation of a loss beside its mean


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

    Each alarm is told once: in the log, in `status.json` (`alarms`), and to the other callbacks.
    What it has seen is part of a checkpoint, so that a resumed run has the alarms that it would
    have had.

    Args:
        run: None on a rank that reports nothing.
        others: are told of alarms, and of the curves that this one measures.
        earlier: `state_dict` of the checkpoint that the run continues from.
    """

    fatal = (DivergenceError,)

    def __init__(
        self,
        run: RunContext | None = None,
        others: Sequence[Callback] = (),
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        self.run, self.others, self._earlier = run, Callbacks(others), earlier
        self._finite = 0  # the last step with finite scalars
        self._saved: list[int] = []
        self._largest, self._modes = 0.0, 0.0
        self._diversity = math.inf  # the largest so far; before the first look there is none
        self._looked = 0  # the last step with pictures
        self._lasting: dict[str, int] = {}  # how long the state of an alarm has lasted
        self._told: dict[str, Alarm] = {}
        self._losses: deque[float] = deque(maxlen=CYCLE)

    def start(self, step: int) -> None:
        self._finite = step
        self._saved = [step] if step else []
        if self.run is None:
            return
        before = alarms_of(self.run.folder.recorded() or {})
        if self._earlier is not None:
            self._load(self._earlier)
        else:  # a checkpoint of an earlier version has no state
            self._told = {one.name: one for one in before if one.step <= step}
        if before != [*self._told.values()]:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        """What it has seen so far, as plain values."""
        return {
            "largest": self._largest,
            "modes": self._modes,
            "diversity": self._diversity,
            "looked": self._looked,
            "lasting": dict(self._lasting),
            "told": [asdict(alarm) for alarm in self._told.values()],
            "losses": [*self._losses],
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            told = [Alarm(**alarm) for alarm in state["told"]]
            self._told = {alarm.name: alarm for alarm in told}
            self._lasting = {str(name): int(count) for name, count in state["lasting"].items()}
            self._losses.extend(float(loss) for loss in state["losses"])
            self._largest, self._modes = float(state["largest"]), float(state["modes"])
            self._looked = int(state["looked"])
            self._diversity = float(state.get("diversity", math.inf))
        except (AttributeError, LookupError, TypeError, ValueError):
            log.warning("the checkpoint's record of alarms cannot be read, so it is empty")

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
        if self.run is not None and step % self.run.settings.log_every:
            return  # a last point between the others, which a run that goes on would not have
        self._look_at_players(step, scalars)
        self._look_for_a_period(step, scalars)
        waiting = scalars.get("speed/waiting_for_data", 0.0)
        self._after(
            "data_starvation",
            step,
            waiting >= STARVED,
            lambda: (
                f"{waiting:.0%} of the time is spent waiting for data; more data.workers, a faster "
                "disk or smaller images (data.size) help"
            ),
        )

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        """Look at samples and layers, where pictures are drawn; their values become curves.

        Not at a last step between the others, which a run that goes on would not have.
        """
        if self.run is None or self.run.indicators is None or not step:
            return
        if step % (self.run.settings.sample_every or step):
            return
        found = self.run.indicators()
        self.others.evaluated(step, found, {})
        if step <= self._looked:
            return  # drawn again where a run is resumed
        self._looked = step
        diversity, dead = found.get("health/diversity"), found.get("health/dead_units", 0.0)
        self._after(
            "mode_collapse",
            step,
            diversity is not None and diversity <= min(ALIKE, RISING * self._diversity),
            lambda: (
                f"samples are {diversity:.0%} as far from each other as real ones, so the "
                "generator draws nearly the same again and again; model.packing=2, penalty=r1, "
                "loss=relativistic, model=wgan_gp or a lower optimizer.lr may help"
            ),
            LOOKS,
        )
        if diversity is not None:
            first = math.isinf(self._diversity)
            self._diversity = diversity if first else max(diversity, self._diversity)
        held = found.get("health/weights_at_limit", 0.0)
        self._after(
            "critic_weights_at_limit",
            step,
            held >= HELD,
            lambda: (
                f"clipping holds {held:.0%} of the critic's weights at its limit, so it can hardly "
                "learn; a larger penalty.limit, a lower optimizer.critic.lr or model=wgan_gp may "
                "help"
            ),
            LOOKS,
        )
        self._after(
            "dead_units",
            step,
            dead >= DEAD,
            lambda: (
                f"{dead:.0%} of a layer's units are 0 for every sample; a lower optimizer.lr, "
                "or leaky ReLUs, keep them alive"
            ),
            LOOKS,
        )

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        """Look for modes that were lost, and for copies of training images."""
        modes = values.get("metrics/modes_captured")
        if modes is not None:
            self._modes = max(self._modes, modes)
            self._after(
                "modes_lost",
                step,
                modes < self._modes / 2,
                lambda: (
                    f"{modes:g} modes are captured, once {self._modes:g}; checkpoint.keep=null "
                    "keeps earlier states, and model.packing=2 or penalty=r1 may hold the modes"
                ),
                1,
            )
        copied = values.get("metrics/near_copy_share", 0.0)
        self._after(
            "memorisation",
            step,
            copied >= COPIED,
            lambda: (
                f"{copied:.0%} of the samples are near-copies of training images; more data, "
                "data.flip=true, model.augment or a smaller network.width help"
            ),
            1,
        )

    def _look_at_players(self, step: int, scalars: Mapping[str, float]) -> None:
        accuracy, norm = scalars.get("accuracy/all"), scalars.get("gradient_norm/generator")
        if accuracy is not None and norm is not None:
            self._largest = max(self._largest, norm)
            self._after(
                "generator_gradient_vanished",
                step,
                accuracy >= WON and norm <= VANISHED * self._largest,
                lambda: (
                    f"the discriminator is always right (accuracy {accuracy:.3f}) and the "
                    f"generator's gradient has all but vanished ({norm:.2g}, once "
                    f"{self._largest:.2g}): it hardly learns any more. Try loss=non_saturating, "
                    "a lower optimizer.discriminator.lr, penalty=r1 or model=wgan_gp"
                ),
            )
        real, fake = scalars.get("probability/real"), scalars.get("probability/fake")
        if real is not None and fake is not None:
            self._after(
                "discriminator_saturated",
                step,
                real >= SURE and fake <= 1 - SURE,
                lambda: (
                    f"the discriminator gives real samples {real:.4f} and generated ones "
                    f"{fake:.1g}, where its sigmoid is flat; penalty=r1, model.instance_noise or a "
                    "lower optimizer.discriminator.lr may help"
                ),
            )
        penalty = None if self.run is None else self.run.settings.penalty
        term = scalars.get("penalty/gradient_penalty")
        if term is not None and penalty is not None and penalty.get("weight"):
            off = math.sqrt(max(term, 0.0) / float(penalty["weight"]))
            self._after(
                "critic_constraint_violated",
                step,
                off >= STEEP,
                lambda: (
                    f"the critic's slope differs from 1 by {off:.2g} (root mean square), so its "
                    "loss estimates no Wasserstein distance; a larger penalty.weight or "
                    "model.d_steps, or a lower optimizer.lr may help"
                ),
            )

    def _look_for_a_period(self, step: int, scalars: Mapping[str, float]) -> None:
        loss = scalars.get("loss/generator")
        if loss is None:
            return
        self._losses.append(loss)
        period = periodic(self._losses) if len(self._losses) == CYCLE else None
        self._after(
            "oscillation",
            step,
            period is not None,
            lambda: (
                f"the generator's loss comes back every {period} points of the curves: the players "
                "run after each other; penalty=r1, a lower optimizer.lr, betas=[0,0.99] or "
                "optimizer=optimistic_adam may help"
            ),
        )

    def _after(
        self, name: str, step: int, ill: bool, words: Callable[[], str], patience: int = PATIENCE
    ) -> None:
        """Tell an alarm once, when its state has lasted."""
        self._lasting[name] = self._lasting.get(name, 0) + 1 if ill else 0
        if self._lasting[name] < patience or name in self._told:
            return
        alarm = self._told[name] = Alarm(name, step, words())
        log.warning(str(alarm))
        self.others.alarmed(step, name, alarm.words)
        if self.run is not None:
            self._write()

    def _write(self) -> None:
        """Put all alarms into the run's status."""
        assert self.run is not None, "asked before"
        folder = self.run.folder
        before = folder.recorded() or {}
        alarms = [asdict(alarm) for alarm in self._told.values()]
        state = before.get("status", "running")
        folder.write_status(state, before.get("step") or 0, alarms=alarms)

    def _way_back(self) -> str:
        # What was saved after the last finite point may hold the fault already.
        good = [step for step in self._saved if step <= self._finite]
        if not good:
            return "there is no checkpoint from before it"
        name = f"step_{good[-1]:08d}.pt"
        folder: Path | None = None if self.run is None else self.run.folder.checkpoints
        if folder is not None and (folder / name).exists():
            return f"the last good checkpoint is {folder / name}"
        return f"the last good state was saved at step {good[-1]}"


def periodic(values: Sequence[float]) -> int | None:
    """The period of a curve that swings widely and comes back to the same values, in points.

    It is the shift at which the autocorrelation of the curve, without its straight trend, is
    highest after it was negative; None where that is below `PERIODIC`, where it swings by less
    than `SWING` of its mean, or where less than three periods were seen.
    """
    curve = np.asarray(values, dtype=np.float64)
    places = np.arange(len(curve))
    trend = np.polyval(np.polyfit(places, curve, 1), places)
    rest = curve - trend
    if rest.std() <= SWING * max(abs(curve.mean()), 1e-12):
        return None
    similar = autocorrelation(rest, len(curve) // 3)
    negative = np.flatnonzero(similar < 0)
    if not len(negative):
        return None
    best = int(negative[0] + similar[negative[0] :].argmax())
    return best + 1 if similar[best] >= PERIODIC else None


def autocorrelation(curve: np.ndarray, shifts: int) -> np.ndarray:
    """The correlations of `curve` [n] with itself shifted by 1 to `shifts` - 1 points.

    Each is of the points that both have, as of `np.corrcoef(curve[:-k], curve[k:])`; 0 where these
    do not vary.
    """
    count, k = len(curve), np.arange(1, shifts)
    curve = curve / max(np.abs(curve).max(), 1e-300)  # its fourth power may be too large
    sums = np.concatenate([[0.0], curve.cumsum()])
    squares = np.concatenate([[0.0], (curve**2).cumsum()])
    products = np.correlate(curve, curve, "full")[count - 1 + k]
    both, first, second = count - k, sums[count - k], sums[count] - sums[k]
    spread = both * squares[count - k] - first**2
    spread = spread * (both * (squares[count] - squares[k]) - second**2)
    common = both * products - first * second
    return np.divide(common, np.sqrt(np.maximum(spread, 0)), out=0.0 * common, where=spread > 0)
