"""The hooks that a run offers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar, TypeVar

from numpy import ndarray
from torch import Tensor

from gan_cli.exits import one_line

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Callback:
    """Told what happens in a run; every hook does nothing unless overridden.

    `step` is the number of completed steps everywhere, so the first is 1 and 0 is before training.

    Attributes:
        fatal: errors of its hooks that end the run; any other is a warning, once.
    """

    fatal: ClassVar[tuple[type[Exception], ...]] = ()

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


class Callbacks(Callback):
    """Several callbacks as one; the failure of one that only watches does not end the run.

    Args:
        callbacks: told in this order, and of the end in the reverse one.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._warned: set[str] = set()

    def start(self, step: int) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.start(step))

    def stepped(self, step: int) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.stepped(step))

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.logged(step, scalars, outputs))

    def drawn(self, step: int, pictures: Mapping[str, ndarray]) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.drawn(step, pictures))

    def evaluated(
        self, step: int, figures: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.evaluated(step, figures, pictures))

    def saved(self, step: int) -> None:
        for callback in self.callbacks:
            self._tell(callback, lambda c=callback: c.saved(step))

    def end(self, step: int, status: str) -> None:
        """Every callback is told, whatever another one raises."""
        with ExitStack() as ends:
            for callback in self.callbacks:
                ends.callback(self._tell, callback, lambda c=callback: c.end(step, status))

    def attempt(self, name: str, work: Callable[[], Result], otherwise: Result) -> Result:
        """The result of work that only watches; its failure is a warning, once for each `name`."""
        try:
            return work()
        except Exception as error:
            self._warn(name, error)
            return otherwise

    def _tell(self, callback: Callback, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception as error:
            if isinstance(error, callback.fatal):
                raise
            self._warn(type(callback).__name__, error)

    def _warn(self, name: str, error: Exception) -> None:
        if name not in self._warned:
            self._warned.add(name)
            log.warning(f"{name}: {one_line(error)}; training continues", exc_info=error)
