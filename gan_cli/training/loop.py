"""The training loop: when to log, draw, evaluate, save and stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from numpy import ndarray

from gan_cli.callbacks.callback import Callback, Callbacks
from gan_cli.device import resident
from gan_cli.distributed.ranks import ALONE, Ranks
from gan_cli.signals import StopRequest
from gan_cli.training.trainer import Trainer


class Stopped(KeyboardInterrupt):
    """A signal asks to stop, so the current evaluation is abandoned."""


@dataclass(frozen=True)
class Intervals:
    """The length of a run, and the intervals in steps between its events."""

    total: int  # steps
    log_every: int
    sample_every: int | None  # None: no pictures
    save_every: int | None  # a checkpoint to keep
    batch_size: int
    max_seconds: float | None = None
    evaluate_every: int | None = None
    save_seconds: float | None = None  # of training after which the state is saved in between


def falls_on(step: int, every: int | None) -> bool:
    """Whether `step` is a multiple of `every`; None: never."""
    return every is not None and step % every == 0


class ModelEvaluator(Protocol):
    """Evaluates the model of a run; see `training.evaluator`."""

    @property
    def evaluated(self) -> int | None:
        """The last evaluated step; None before the first."""
        ...

    def __call__(self, step: int, pause: Callable[[], None]) -> Evaluation:
        """Evaluate; `pause` is called now and then, and raises `Stopped` to abandon it."""
        ...

    def again(self) -> Evaluation:
        """The result of step `evaluated` again, as far as it was kept."""
        ...


class Evaluation(NamedTuple):
    """The result of an evaluation."""

    values: Mapping[str, float]  # by the names of their curves
    pictures: Mapping[str, ndarray]
    improved: bool = False  # the best so far, so it is saved
    give_up: str = ""  # why training shall end here; empty to continue


@dataclass(frozen=True)
class LoopResult:
    """How a run ended."""

    state: str  # "finished", or "interrupted" by a signal
    reason: str  # in words
    step: int


def has_passed(seconds: float | None, since: float) -> bool:
    """Whether `seconds` have passed since the moment `since`; None: never."""
    return seconds is not None and time.monotonic() - since >= seconds


class Loop:
    """Trains to the end of the plan, and calls the callbacks.

    Args:
        trainer: at step 0, or at the step to resume from.
        plan: when to do what.
        callbacks: called in this order.
        draw: makes the pictures of a step.
        save: writes a checkpoint; its argument is true for one to keep.
        model_evaluator: evaluates the model, at the steps of the plan.
        last_point: of the curves of an earlier start, which stays; later points are written anew.
        ranks: who train together; they log, save and stop at the same steps.
        stop: the request to stop, where several loops share it.
        advance: makes a step, as `Trainer.advance`, which is the default.
        waited: seconds spent waiting for data so far.
    """

    def __init__(
        self,
        trainer: Trainer,
        plan: Intervals,
        callbacks: Sequence[Callback],
        draw: Callable[[int], Mapping[str, ndarray | str]],
        save: Callable[[bool], None],
        model_evaluator: ModelEvaluator | None = None,
        last_point: int | None = None,
        ranks: Ranks = ALONE,
        stop: StopRequest | None = None,
        advance: Callable[[bool], None] | None = None,
        waited: Callable[[], float] = float,
    ) -> None:
        self.trainer, self.plan, self.callbacks = trainer, plan, Callbacks(callbacks)
        self._draw, self._save_to, self._evaluator = draw, save, model_evaluator
        self._last_point = trainer.step if last_point is None else last_point
        self._ranks, self._stop = ranks, stop or StopRequest(ranks.echo)
        self._advance = advance or trainer.advance
        self._read_at, self._read_step, self._read_drawn = 0.0, 0, 0
        self._saved_at = 0.0
        self._waited, self._read_waited = waited, 0.0

    def run(self) -> LoopResult:
        """Train to the end of the plan, or until a signal asks to stop; the state is then saved.

        Raises:
            KeyboardInterrupt: a second signal; nothing more is saved.
        """
        status = "failed"
        with self._stop.installed():
            try:
                result = self._run()
                status = result.state
            except KeyboardInterrupt:
                status = "interrupted"
                raise
            finally:
                self.callbacks.end(self.trainer.step, status)
        return result

    def _run(self) -> LoopResult:
        trainer, plan = self.trainer, self.plan
        begun = self._saved_at = self._mark()
        self.callbacks.start(trainer.step)
        give_up, improved = self._catch_up()
        advanced, late, stale = False, False, False
        while True:
            step = trainer.step
            on_grid = step > 0 and falls_on(step, plan.save_every)
            number, late, stale = self._ranks.agree(self._stop.signal or 0, late, stale)
            if number and (step < plan.total or self._owes(step)):
                self._save(on_grid)
                return LoopResult("interrupted", f"stopped by {signal.Signals(number).name}", step)
            over = give_up or ("all steps done" if step >= plan.total else "")
            over = over or ("stopped by max_time" if late else "")
            if over:
                self._last_look()
            # After all else, so that a checkpoint lacks nothing of its step.
            if over or improved or (advanced and on_grid):
                self._save(on_grid)
            elif stale:
                with trainer.window.unchanged():
                    self._save(keep=False)
            if over:
                return LoopResult("finished", over, step)
            due = (step + 1) % plan.log_every == 0
            self._advance(due or step + 1 == plan.total)
            step, advanced, improved = step + 1, True, False
            self.callbacks.stepped(step)
            if due:
                self._log(ends_window=True)
            if falls_on(step, plan.sample_every):
                self._show()
            if falls_on(step, plan.evaluate_every):
                give_up, improved = self._evaluate()
            late = has_passed(plan.max_seconds, begun)
            stale = has_passed(plan.save_seconds, self._saved_at)

    def _last_look(self) -> None:
        """Log and draw at the last step, unless already done, also by an earlier start.

        This last point of the curves ends no window: a run that is resumed with more steps
        continues to fill it, and replaces the point.
        """
        step = self.trainer.step
        if step <= self._last_point:
            return
        if step % self.plan.log_every:
            self.trainer.looked = step
            self._log(ends_window=False)
        if not falls_on(step, self.plan.sample_every):
            self._show()

    def _mark(self) -> float:
        self._read_at = time.monotonic()
        self._read_step, self._read_drawn = self.trainer.step, self.trainer.drawn
        self._read_waited = self._waited()
        return self._read_at

    def _log(self, ends_window: bool) -> None:
        trainer = self.trainer
        trainer.window.average(self._ranks.average)
        scalars = trainer.read()  # waits for the device, so the clock is read afterwards
        before, step, drawn = self._read_at, self._read_step, self._read_drawn
        waited = self._waited() - self._read_waited
        seconds = max(self._mark() - before, 1e-9)
        speed = {}
        if steps := trainer.step - step:
            images = (trainer.drawn - drawn) * self.plan.batch_size
            speed["speed/images_per_second"] = images / seconds
            speed["speed/seconds_per_step"] = seconds / steps
            if waited:
                speed["speed/waiting_for_data"] = waited / seconds
        outputs = dict(trainer.window.outputs)
        if ends_window:  # before the callbacks, so that the failure of one loses no point
            trainer.clear()
        self.callbacks.logged(trainer.step, scalars | speed | resident(), outputs)

    def _show(self) -> None:
        if self.plan.sample_every is None:
            return
        with self._off_the_clock():
            step, none = self.trainer.step, dict[str, ndarray | str]()
            pictures = self.callbacks.attempt("pictures", lambda: self._draw(step), none)
            self.callbacks.drawn(step, pictures)

    def _evaluate(self) -> tuple[str, bool]:
        """Why training shall end here, or nothing; and whether this step is the best so far."""
        assert self._evaluator is not None, "a plan with evaluations has an evaluator"
        with self._off_the_clock():
            try:
                evaluation = self._evaluator(self.trainer.step, self._pause)
            except Stopped:
                return "", False  # the loop sees the request itself
            self._report(evaluation)
        return evaluation.give_up, evaluation.improved

    def _owes(self, step: int) -> bool:
        """Whether the evaluation of `step` is due and not done."""
        every = self.plan.evaluate_every
        return bool(
            self._evaluator is not None
            and every
            and step % every == 0
            and self._evaluator.evaluated != step
        )

    def _catch_up(self) -> tuple[str, bool]:
        """Draw and evaluate at the first step; when resuming, only what is missing.

        An earlier start may have ended before it, or its point may no longer be in the curves.
        """
        step, plan = self.trainer.step, self.plan
        if falls_on(step, plan.sample_every) and (step == 0 or step > self._last_point):
            self._show()
        if self._owes(step):
            return self._evaluate()
        if self._evaluator is None or self._evaluator.evaluated is None:
            return "", False
        evaluation = self._evaluator.again()
        if step > self._last_point and step == self._evaluator.evaluated:
            self._report(evaluation)
        return evaluation.give_up, False

    def _report(self, evaluation: Evaluation) -> None:
        self.callbacks.evaluated(self.trainer.step, evaluation.values, evaluation.pictures)

    def _pause(self) -> None:
        if self._stop.signal is not None:
            raise Stopped

    def _save(self, keep: bool) -> None:
        with self._off_the_clock():
            self.trainer.window.average(self._ranks.average)
            self._save_to(keep)
            self.callbacks.saved(self.trainer.step)
        self._saved_at = time.monotonic()

    @contextmanager
    def _off_the_clock(self) -> Iterator[None]:
        """Within it, time does not count as training time in the curves of speed."""
        begun = time.monotonic()
        yield
        self._read_at += time.monotonic() - begun
