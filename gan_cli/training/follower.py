"""What the ranks beside the first do: they train, and own neither files nor evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from numpy import ndarray

from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.distributed.ranks import Ranks
from gan_cli.exits import DONE, INTERRUPTED, RunFailedError
from gan_cli.runs import folder
from gan_cli.training.loop import Judge, Loop, Plan, Stopped, Verdict
from gan_cli.training.setup import Session


class SharedJudge:
    """The evaluation, done by the first rank while the others wait for its verdict.

    Args:
        ranks: who train together.
        evaluated: the step of the last evaluation of an earlier start.
        judge: on the first rank.
    """

    def __init__(self, ranks: Ranks, evaluated: int | None, judge: Judge | None) -> None:
        self.ranks, self.evaluated, self._judge = ranks, evaluated, judge

    def __call__(self, step: int, pause: Callable[[], None]) -> Verdict:
        """Evaluate; the other ranks get what decides the course, without figures.

        Raises:
            Stopped: the first rank was asked to stop.
        """
        verdict: Verdict | None = None

        def judged() -> tuple[bool, str] | None:
            nonlocal verdict
            assert self._judge is not None, "the first rank has the judge"
            try:
                verdict = self._judge(step, pause)
            except Stopped:
                return None
            return verdict.improved, verdict.give_up

        decided = self.ranks.share(judged)
        if decided is None:
            raise Stopped
        self.evaluated = step
        return verdict or Verdict({}, {}, *decided)

    def again(self) -> Verdict:
        """What the last evaluation found; the other ranks get what decides the course."""
        verdict = Verdict({}, {}) if self._judge is None else self._judge.again()
        return verdict._replace(give_up=self.ranks.share(lambda: verdict.give_up))


def shared_judge(session: Session, judge: Judge | None) -> Judge | None:
    """What evaluates on this rank, where `judge` does on the first and is None elsewhere."""
    ranks = session.ranks
    if ranks.count == 1 or session.settings.evaluation.every is None:
        return judge
    return SharedJudge(
        ranks, ranks.share(lambda: None if judge is None else judge.evaluated), judge
    )


def follow(session: Session, plan: Plan, judge: Judge | None, last_point: int | None) -> int:
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
        judge,
        last_point,
        session.ranks,
    )
    try:
        outcome = loop.run()
    except DivergenceError as error:
        raise RunFailedError(str(error)) from error
    return INTERRUPTED if outcome.state == folder.INTERRUPTED else DONE
