"""The base of callbacks that send a run to a program which shows it, such as TensorBoard."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from numpy import ndarray
from torch import Tensor

from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.formatting import SENSIBLE

METRICS, MAIN = "metrics/", "main_metric/"


class Logger(Callback):
    """A run as scalars, pictures and texts by name: a subclass says where each of them goes.

    Of an evaluation, the metric to compare runs by is a curve "main_metric/<name>" too.

    Args:
        run: which is sent.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        self.scalars(step, scalars)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        for name, shown in pictures.items():
            if isinstance(shown, str):
                self.text(step, name, shown)
            else:
                self.picture(step, name, shown)

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        main = main_metric(values, self.run.settings.evaluation.best)
        first = {} if main is None else {f"{MAIN}{main}": values[f"{METRICS}{main}"]}
        self.scalars(step, {**first, **values})
        for name, image in pictures.items():
            self.picture(step, name, image)

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send a point of each curve."""

    @abstractmethod
    def picture(self, step: int, name: str, pixels: ndarray) -> None:
        """Send a picture uint8 [height, width, 1 or 3]."""

    @abstractmethod
    def text(self, step: int, name: str, words: str) -> None:
        """Send text of several lines."""


def main_metric(values: Mapping[str, float], best: str | None) -> str | None:
    """The metric to compare runs by; None where there is none.

    Args:
        values: by the names of their curves.
        best: evaluation.best, if it is set.
    """
    names = SENSIBLE if best is None else (best,)
    return next((name for name in names if f"{METRICS}{name}" in values), None)
