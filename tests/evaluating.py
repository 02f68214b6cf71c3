"""The quick metrics of a session's model, on whatever device it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gan_cli.errors import DataError
from gan_cli.evaluation.evaluate import evaluate
from gan_cli.evaluation.metric import Options
from gan_cli.evaluation.registry import choose
from gan_cli.evaluation.trained_model import Extractors, Real, TrainedModel
from gan_cli.training.setup import Session

ABSENT = "no network is loaded here"


def absent() -> Any:
    raise DataError(ABSENT)


def quick_metrics(session: Session) -> list[str]:
    """The names of those that need no other network; each must have a value.

    The data is loaded again, on the CPU, as `gan-eval` does.
    """
    settings = session.settings
    real = Real(settings.data, "train", outputs=settings.outputs)
    options = Options(samples=64, batch_size=32)
    extractors = Extractors(absent, absent)
    step = session.trainer.step
    subject = TrainedModel(session.model.eval(), step, "raw", options, real, extractors)
    choice = choose("all", subject)
    quick = [metric for metric in choice.taken if not metric.dear]
    report = evaluate(subject, replace(choice, taken=quick))
    failed = {name: why for name, why in report.failed.items() if ABSENT not in why}
    assert not failed, failed
    return [metric.name for metric in quick if metric.name not in report.failed]
