"""What the ranks beside the first do: they train, and own neither files nor evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from numpy import ndarray

from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.distributed.ranks import Ranks
from gan_cli.exits import DONE, INTERRUPTED, RunFailedError
from gan_cli.runs import folder
from gan_cli.training.loop import Evaluation, Intervals, Loop, ModelEvaluator, Stopped
from gan_cli.training.setup import Session


class SharedEvaluator:
    """The evaluation, done by the first rank while the others wait for its verdict.

    Args:
        ranks: who train together.
        evaluated: the step of the last evaluation of an earlier start.
        model_evaluator: on the first rank.
    """

    def __init__(
        self, ranks: Ranks, evaluated: int | None, model_evaluator: ModelEvaluator | None
    ) -> None:
        self.ranks, self.evaluated, self._evaluator = ranks, evaluated, model_evaluator

    def __call__(self, step: int, pause: Callable[[], None]) -> Evaluation:
        """Evaluate; the other ranks get what decides the course, without figures.

        Raises:
            Stopped: the first rank was asked to stop.
        """
        evaluation: Evaluation | None = None

        def judged() -> tuple[bool, str] | None:
            nonlocal evaluation
            assert self._evaluator is not None, "the first rank has the judge"
            try:
                evaluation = self._evaluator(step, pause)
            except Stopped:
                return None
            return evaluation.improved, evaluation.give_up

        decided = self.ranks.share(judged)
        if decided is None:
            raise Stopped
        self.evaluated = step
        return evaluation or Evaluation({}, {}, *decided)

    def again(self) -> Evaluation:
        """What the last evaluation found; the other ranks get what decides the course."""
        evaluation = Evaluation({}, {}) if self._evaluator is None else self._evaluator.again()
        return evaluation._replace(give_up=self.ranks.share(lambda: evaluation.give_up))


def shared_evaluator(
    session: Session, model_evaluator: ModelEvaluator | None
) -> ModelEvaluator | None:
    """What evaluates on this rank, where `judge` does on the first and is None elsewhere."""
    ranks = session.ranks
    if ranks.count == 1 or session.settings.evaluation.every is None:
        return model_evaluator
    return SharedEvaluator(
        ranks,
        ranks.share(lambda: None if model_evaluator is None else model_evaluator.evaluated),
        model_evaluator,
    )


def follow(
    session: Session,
    plan: Intervals,
    model_evaluator: ModelEvaluator | None,
    last_point: int | None,
) -> int:
    """Train beside the first rank; the exit status.

    Raises:
        RunFailedError: the run has diverged, which the first rank tells.
    """

    def refuse_divergence(keep: bool) -> None:
        if part := session.trainer.not_finite():
            raise DivergenceError(f"{part}: NaN or infinite")

    def no_pictures(step: int) -> Mapping[str, ndarray]:
        return {}

    loop = Loop(
        session.trainer,
        plan,
        [Health()],
        no_pictures,
        refuse_divergence,
        model_evaluator,
        last_point,
        session.ranks,
    )
    try:
        outcome = loop.run()
    except DivergenceError as error:
        raise RunFailedError(str(error)) from error
    return INTERRUPTED if outcome.state == folder.INTERRUPTED else DONE
