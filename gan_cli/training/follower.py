"""The other ranks beside the first: they train, and own neither files nor the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from numpy import ndarray

from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.distributed.ranks import Ranks
from gan_cli.exits import DONE, INTERRUPTED, RunFailedError
from gan_cli.runs import folder
from gan_cli.training.loop import Evaluation, Intervals, Loop, ModelEvaluator, Stopped
from gan_cli.training.setup import Session


class SharedEvaluator:
    """Evaluates on the first rank, while the others wait for the result.

    Args:
        ranks: who train together.
        evaluated: the step of the last evaluation of an earlier start.
        model_evaluator: of the first rank; None on the others.
    """

    def __init__(
        self, ranks: Ranks, evaluated: int | None, model_evaluator: ModelEvaluator | None
    ) -> None:
        self.ranks, self.evaluated, self._evaluator = ranks, evaluated, model_evaluator

    def __call__(self, step: int, pause: Callable[[], None]) -> Evaluation:
        """Evaluate; the other ranks get `improved` and `give_up`, without values and pictures.

        Raises:
            Stopped: the first rank was asked to stop.
        """
        evaluation = None
        with self.ranks.sharing_errors():
            if self._evaluator is not None:
                with suppress(Stopped):
                    evaluation = self._evaluator(step, pause)
        decision = self.ranks.share(
            None if evaluation is None else (evaluation.improved, evaluation.give_up)
        )
        if decision is None:
            raise Stopped
        self.evaluated = step
        return evaluation or Evaluation({}, {}, *decision)

    def again(self) -> Evaluation:
        """The result of the last evaluation; the other ranks get its `give_up` alone."""
        evaluation = Evaluation({}, {}) if self._evaluator is None else self._evaluator.again()
        return evaluation._replace(give_up=self.ranks.share(evaluation.give_up))


def shared_evaluator(
    session: Session, model_evaluator: ModelEvaluator | None
) -> ModelEvaluator | None:
    """The evaluator for this rank's loop; `model_evaluator` is None on all but the first."""
    ranks = session.ranks
    if ranks.count == 1 or session.settings.evaluation.every is None:
        return model_evaluator
    evaluated = None if model_evaluator is None else model_evaluator.evaluated
    return SharedEvaluator(ranks, ranks.share(evaluated), model_evaluator)


def follow(
    session: Session,
    plan: Intervals,
    model_evaluator: ModelEvaluator | None,
    last_point: int | None,
) -> int:
    """Train beside the first rank; the exit status.

    Raises:
        RunFailedError: the run has diverged; the first rank reports it.
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
