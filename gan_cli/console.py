"""What the user reads: messages on stderr, and the run's log file."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.atomic import appending, cannot_write

if TYPE_CHECKING:
    from rich.console import Console

LEVELS = {
    logging.WARNING: ("warning: ", "yellow"),
    logging.ERROR: ("error: ", "bold red"),
    logging.CRITICAL: ("error: ", "bold red"),
}
FILE_ONLY = {"file_only": True}  # log.info(..., extra=FILE_ONLY): not for the screen


@cache
def console() -> Console:
    """The one rich console, on stderr; messages and progress bar must share it."""
    from rich.console import Console

    return Console(stderr=True)


def on_terminal() -> bool:
    """Whether stderr is a terminal that can redraw lines."""
    return sys.stderr.isatty() and console().is_terminal and not console().is_dumb_terminal


def setup_logging(log_file: Path | None, screen: bool = True) -> None:
    """Send messages from INFO up to stderr and, with times and tracebacks, to `log_file`.

    Replaces what an earlier call set up and closes its file, so that each of several runs in one
    process has its own; `None` only closes. Without `screen` nothing goes to stderr.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, ScreenHandler | FileHandler)]:
        root.removeHandler(handler)
        with suppress(OSError):  # a full disk was reported when it was met
            handler.close()
    root.setLevel(logging.INFO)
    root.addHandler(ScreenHandler(silent=not screen))
    if log_file is not None:
        root.addHandler(FileHandler(log_file))


class ScreenHandler(logging.Handler):
    """One line per message, without time, place or traceback; above the bar where there is one."""

    def __init__(self, silent: bool = False) -> None:
        super().__init__()
        self.speaker = ""  # put before each message
        self.addFilter(lambda record: not (silent or getattr(record, "file_only", False)))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message; long lines stay whole, so that commands in them can be copied."""
        prefix, style = LEVELS.get(record.levelno, ("", ""))
        try:
            line = prefix + self.speaker + record.getMessage()
            if on_terminal():
                from rich.text import Text

                text = Text(line)
                text.stylize(style, 0, len(prefix))
                console().print(text, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class FileHandler(logging.FileHandler):
    """Appends to a run's log, until that fails: then it says so once and stops.

    Raises:
        UserError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, encoding="utf-8")
        except OSError as cause:
            raise cannot_write(path, cause) from cause
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))

    def _open(self) -> TextIOWrapper:
        handle = appending(Path(self.baseFilename))
        # Text that is no Unicode, such as a folder's name may be, is written in escapes.
        return open(handle, "a", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Turn a full disk into one line; whatever else writes there ends the run."""
        cause = sys.exc_info()[1]
        if not isinstance(cause, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        with suppress(OSError):  # what could not be written is tried again
            self.close()
        message = str(cannot_write(Path(self.baseFilename), cause))
        logging.getLogger(__name__).warning(message)
