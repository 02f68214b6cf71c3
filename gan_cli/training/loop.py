"""The course of a run: when to log, draw, save and stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from numpy import ndarray

from gan_cli.callbacks.callback import Callback, Callbacks
from gan_cli.device import resident
from gan_cli.distributed.ranks import ALONE, Ranks
from gan_cli.signals import StopRequest
from gan_cli.training.trainer import Trainer

Result = TypeVar("Result")
Course = Generator[bool, None, Result]  # yields whether to measure the step that is wanted


def drive(course: Course[Result], advance: Callable[[bool], None]) -> Result:
    """Make the steps that a course wants, until it ends; what goes wrong is told to it."""
    try:
        measure = next(course)
        while True:
            try:
                advance(measure)
            except BaseException as error:
                measure = course.throw(error)
            else:
                measure = next(course)
    except StopIteration as end:
        return end.value


class Stopped(KeyboardInterrupt):
    """A signal asks to stop, so an evaluation under way is given up."""


@dataclass(frozen=True)
class Intervals:
    """How long a run goes on, and what happens every so many steps."""

    total: int  # steps
    log_every: int
    sample_every: int | None  # None: no pictures
    save_every: int | None  # a state to keep
    batch_size: int
    max_seconds: float | None = None
    evaluate_every: int | None = None
    save_seconds: float | None = None  # of training after which the state is saved between


def falls_on(step: int, every: int | None) -> bool:
    """Whether `step` is one of every so many; None: of none."""
    return every is not None and step % every == 0


class ModelEvaluator(Protocol):
    """Evaluates the model of a run; see `training.evaluating`."""

    @property
    def evaluated(self) -> int | None:
        """The last step that was evaluated; None before the first."""
        ...

    def __call__(self, step: int, pause: Callable[[], None]) -> Evaluation:
        """Evaluate. `pause` is called now and then, and raises `Stopped` to break off."""
        ...

    def again(self) -> Evaluation:
        """What the evaluation of step `evaluated` found, as far as it was kept."""
        ...


class Evaluation(NamedTuple):
    """What an evaluation found."""

    figures: Mapping[str, float]  # by their curve's name
    pictures: Mapping[str, ndarray]
    improved: bool = False  # the best so far, so it is saved
    give_up: str = ""  # why training shall end here; empty where it goes on


@dataclass(frozen=True)
class LoopResult:
    """How a run ended."""

    state: str  # "finished", or "interrupted" by a signal
    reason: str  # in words
    step: int


def has_passed(seconds: float | None, since: float) -> bool:
    """Whether so many seconds have passed since a moment; never, where they are None."""
    return seconds is not None and time.monotonic() - since >= seconds


class Loop:
    """Drives a trainer and tells the callbacks.

    Args:
        trainer: at step 0, or at the step to go on from.
        plan: when to do what.
        callbacks: told in this order.
        draw: makes the pictures of a step.
        save: writes a checkpoint; its argument says whether it is one to keep.
        model_evaluator: evaluates the model, where the plan says so.
        last_point: of the curves, of an earlier start, that stays; what follows is told anew.
        ranks: who train together; they log, save and stop at the same steps.
        stop: that several loops share; its handlers are then installed by who drives them.
    """

    def __init__(
        self,
        trainer: Trainer,
        plan: Intervals,
        callbacks: Sequence[Callback],
        draw: Callable[[int], Mapping[str, ndarray]],
        save: Callable[[bool], None],
        model_evaluator: ModelEvaluator | None = None,
        last_point: int | None = None,
        ranks: Ranks = ALONE,
        stop: StopRequest | None = None,
    ) -> None:
        self.trainer, self.plan, self.callbacks = trainer, plan, Callbacks(callbacks)
        self._draw, self._save_to, self._evaluator = draw, save, model_evaluator
        self._last_point = trainer.step if last_point is None else last_point
        self._ranks, self._stop = ranks, stop or StopRequest(ranks.echo)
        self._read_at, self._read_step, self._read_drawn = 0.0, 0, 0
        self._saved_at = 0.0

    def run(self) -> LoopResult:
        """Train to the end of the plan, or until a signal asks to stop; the state is then saved.

        Raises:
            KeyboardInterrupt: a second signal; nothing more is saved.
        """
        with self._stop.installed():
            return drive(self.course(), self.trainer.advance)

    def course(self) -> Course[LoopResult]:
        """`run` in pieces: it yields wherever the trainer is to advance."""
        status = "failed"
        try:
            outcome = yield from self._run()
            status = outcome.state
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self.callbacks.end(self.trainer.step, status)
        return outcome

    def _run(self) -> Course[LoopResult]:
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
                self._look()
            # After all else, so that of a step with a checkpoint nothing is missing.
            if over or improved or (advanced and on_grid):
                self._save(on_grid)
            elif stale:
                with trainer.window.unchanged():
                    self._save(keep=False)
            if over:
                return LoopResult("finished", over, step)
            due = (step + 1) % plan.log_every == 0
            yield due or step + 1 == plan.total
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

    def _look(self) -> None:
        """Log and draw at the last step, unless that was done in its turn or by an earlier start.

        This last point of the curves ends no window: a run that is resumed with more steps goes on
        filling it, and replaces the point.
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
        return self._read_at

    def _log(self, ends_window: bool) -> None:
        trainer = self.trainer
        trainer.window.average(self._ranks.average)
        scalars = trainer.read()  # waits for the device, so the clock is read afterwards
        before, step, drawn = self._read_at, self._read_step, self._read_drawn
        seconds = max(self._mark() - before, 1e-9)
        speed = {}
        if steps := trainer.step - step:
            images = (trainer.drawn - drawn) * self.plan.batch_size
            speed["speed/images_per_second"] = images / seconds
            speed["speed/seconds_per_step"] = seconds / steps
        outputs = dict(trainer.window.outputs)
        if ends_window:  # before anyone is told, so that a callback's failure loses no point
            trainer.clear()
        self.callbacks.logged(trainer.step, scalars | speed | resident(), outputs)

    def _show(self) -> None:
        if self.plan.sample_every is None:
            return
        with self._off_the_clock():
            step, none = self.trainer.step, dict[str, ndarray]()
            pictures = self.callbacks.attempt("pictures", lambda: self._draw(step), none)
            self.callbacks.drawn(step, pictures)

    def _evaluate(self) -> tuple[str, bool]:
        """Why training shall end here, or nothing; and whether this is the best step so far."""
        assert self._evaluator is not None, "a plan with evaluations comes with a judge"
        with self._off_the_clock():
            try:
                evaluation = self._evaluator(self.trainer.step, self._pause)
            except Stopped:
                return "", False  # what was asked is looked at in its turn
            self._tell(evaluation)
        return evaluation.give_up, evaluation.improved

    def _owes(self, step: int) -> bool:
        """Whether `step` is to be evaluated and was not."""
        every = self.plan.evaluate_every
        return bool(
            self._evaluator is not None
            and every
            and step % every == 0
            and self._evaluator.evaluated != step
        )

    def _catch_up(self) -> tuple[str, bool]:
        """What belongs to the step begun at: of a new run all of it, of a resumed one what is gone.

        An earlier start may not have come to it, or its point may no longer be in the curves.
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
            self._tell(evaluation)
        return evaluation.give_up, False

    def _tell(self, evaluation: Evaluation) -> None:
        self.callbacks.evaluated(self.trainer.step, evaluation.figures, evaluation.pictures)

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
        """What happens within does not count as training time in the curves of speed."""
        begun = time.monotonic()
        yield
        self._read_at += time.monotonic() - begun
