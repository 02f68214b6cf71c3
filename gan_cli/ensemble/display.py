"""Messages of several runs in one process: each has its own log, and the screen says whose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from torch import Tensor

from gan_cli.callbacks.callback import Callback
from gan_cli.console import FileHandler, ScreenHandler, setup_logging


class RunLogs(logging.Handler):
    """Sends what a run says to its own log, and what is said for all to the logs of all.

    The screen shows what is said for all, and of what one says warnings and errors alone.

    Args:
        logs: the log of each run, by the name that the screen calls it by.

    Raises:
        UserError: a log cannot be opened.
    """

    def __init__(self, logs: Mapping[str, Path]) -> None:
        super().__init__()
        self._files = {name: FileHandler(path) for name, path in logs.items()}
        self._speaker = ""
        self._screen = ScreenHandler()
        self._screen.addFilter(lambda record: not self._speaker or record.levelno > logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        files = [self._files[self._speaker]] if self._speaker else self._files.values()
        for file in files:
            file.handle(record)
        self._screen.handle(record)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Within it, one run speaks; or with "", all do."""
        before, self._speaker = self._speaker, name
        self._screen.speaker = f"{name}: " if name else ""
        try:
            yield
        finally:
            self._speaker = before
            self._screen.speaker = f"{before}: " if before else ""

    def close(self) -> None:
        """Close all logs."""
        for file in self._files.values():
            file.close()
        super().close()


@contextmanager
def run_logs(logs: Mapping[str, Path]) -> Iterator[RunLogs]:
    """Within it, messages go to these logs and the screen."""
    setup_logging(None)
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, ScreenHandler)]:
        root.removeHandler(handler)
    mine = RunLogs(logs)
    root.addHandler(mine)
    try:
        yield mine
    finally:
        root.removeHandler(mine)
        mine.close()
        setup_logging(None)


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
