"""Messages and progress of several runs in one process: a log for each, one screen for all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from gan_cli.callbacks.callback import Callback
from gan_cli.console import FileHandler, ScreenHandler, setup_logging


class RunLogs(logging.Handler):
    """Writes the messages of a thread named like a run to its log, and others to all logs.

    The screen shows the latter, and of the former warnings and errors alone.

    Args:
        logs: the log of each run, by its name.

    Raises:
        UserError: a log cannot be opened.
    """

    def __init__(self, logs: Mapping[str, Path]) -> None:
        super().__init__()
        self._files = {name: FileHandler(path) for name, path in logs.items()}
        self._of_all = False
        self._screen = ScreenHandler()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message where it belongs."""
        name = record.threadName if not self._of_all else None
        if name is None or name not in self._files:
            for file in self._files.values():
                file.handle(record)
            self._screen.handle(record)
            return
        self._files[name].handle(record)
        if record.levelno > logging.INFO:
            self._screen.speaker = f"{name}: "
            self._screen.handle(record)
            self._screen.speaker = ""

    @contextmanager
    def of_all(self) -> Iterator[None]:
        """Within it, messages of any thread concern all runs."""
        self._of_all = True
        try:
            yield
        finally:
            self._of_all = False

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


class SharedProgress(Callback):
    """One progress display as the callback of several runs, which shows each step once.

    Args:
        progress: the display.
        logs: of the runs.
        count: of runs.
    """

    def __init__(self, progress: Callback, logs: RunLogs, count: int) -> None:
        self._progress, self._logs, self._training = progress, logs, count
        self._started, self._step, self._logged = False, -1, -1

    def start(self, step: int) -> None:
        if not self._started:
            self._started = True
            with self._logs.of_all():
                self._progress.start(step)

    def stepped(self, step: int) -> None:
        if step > self._step:
            self._step = step
            with self._logs.of_all():
                self._progress.stepped(step)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        if step > self._logged:
            self._logged = step
            with self._logs.of_all():
                self._progress.logged(step, scalars, outputs)

    def end(self, step: int, status: str) -> None:
        self._training -= 1
        if self._started and not self._training:
            with self._logs.of_all():
                self._progress.end(step, status)
