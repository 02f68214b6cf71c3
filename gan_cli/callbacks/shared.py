"""One display for several runs that go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from torch import Tensor

from gan_cli.callbacks.callback import Callback


class Display:
    """Passes to one callback what the first of several runs tells, until the last one ends.

    Args:
        callback: what shows it.
        for_all: entered around what it shows, so that it is said for all runs.
    """

    def __init__(
        self, callback: Callback, for_all: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.callback, self.for_all = callback, for_all
        self.going: list[Share] = []
        self.begun = False

    def share(self) -> Share:
        """What one more run tells."""
        self.going.append(Share(self))
        return self.going[-1]


class Share(Callback):
    """A run's part of the display."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def start(self, step: int) -> None:
        if not self._display.begun:
            self._display.begun = True
            with self._display.for_all():
                self._display.callback.start(step)

    def stepped(self, step: int) -> None:
        if self._display.going[0] is self:
            with self._display.for_all():
                self._display.callback.stepped(step)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        if self._display.going[0] is self:
            with self._display.for_all():
                self._display.callback.logged(step, scalars, outputs)

    def end(self, step: int, status: str) -> None:
        self._display.going.remove(self)
        if not self._display.going and self._display.begun:
            with self._display.for_all():
                self._display.callback.end(step, status)
