"""Messages of several runs in one process: each has its own log, and the screen says whose."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gan_cli.console import FileHandler, ScreenHandler, setup_logging


class Voices(logging.Handler):
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
def voices(logs: Mapping[str, Path]) -> Iterator[Voices]:
    """Within it, messages go to these logs and the screen."""
    setup_logging(None)
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, ScreenHandler)]:
        root.removeHandler(handler)
    mine = Voices(logs)
    root.addHandler(mine)
    try:
        yield mine
    finally:
        root.removeHandler(mine)
        mine.close()
        setup_logging(None)
