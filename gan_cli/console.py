"""Messages on stderr and in the run's log file."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.files import appending, cannot_write
from gan_cli.formatting import show_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LEVELS = {
    logging.WARNING: ("warning: ", "yellow"),
    logging.ERROR: ("error: ", "bold red"),
    logging.CRITICAL: ("error: ", "bold red"),
}
# Control characters but tab and new line, marks that turn the direction of text, lone surrogates.
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
PIPED_WIDTH = 160  # columns of tables that go into a file or a pipe
FILE_ONLY = {"file_only": True}  # log.info(..., extra=FILE_ONLY): not for the screen


def clean(text: str) -> str:
    """`text` with escapes in place of what would command a terminal or cannot be encoded.

    Whatever is shown may hold text of others: names of files, errors, tags, settings.
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_path(path: Path) -> None:
    """Print a path on a line of stdout: clean on a terminal, byte for byte for other programs."""
    if sys.stdout.isatty() or not hasattr(sys.stdout, "buffer"):
        print(clean(str(path)))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(path) + b"\n")
        sys.stdout.buffer.flush()


@cache
def console() -> Console:
    """The one rich console on stderr; messages and progress bar must share it."""
    return clean_console(stderr=True)


def clean_console(piped_width: int | None = None, **options: Any) -> Console:
    """A rich console that shows all text as `clean` does, and no markup or emoji in it.

    Args:
        piped_width: columns where it is no terminal.
        options: of `rich.console.Console`.
    """
    made = _clean_kind()(markup=False, emoji=False, **options)
    if piped_width is not None and not made.is_terminal:
        made.width = piped_width
    return made


@cache
def _clean_kind() -> type[Console]:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class CleanConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(clean(text), **options)  # before its width is measured

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control or not UNSAFE.search(segment.text):
                    yield segment
                else:
                    yield Segment(clean(segment.text), segment.style)

    return CleanConsole


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
                print(clean(line), file=sys.stderr, flush=True)
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
        return open(appending(Path(self.baseFilename)), "a", encoding="utf-8")  # noqa: PTH123

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a message, which may be looked at on a terminal."""
        return clean(super().format(record))

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


REDRAW = 0.1  # seconds
SPOKEN = 3.0  # seconds of work after which its duration is estimated
LONG, VERY_LONG = 10.0, 60.0  # seconds that are left, worth a line in a log, and advice
log = logging.getLogger(__name__)


def ignore(count: int) -> None:
    """Advance no bar."""


def estimated(
    text: str,
    total: int | None,
    advance: Callable[[int], None],
    advice: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[int], None]:
    """`advance`, which says once how long a job takes, unless it is soon done or a bar says it.

    Args:
        text: the job.
        total: units of it; None where that is not known.
        advance: a bar, or `ignore`.
        advice: how to have it faster, for a job of more than a minute.
        clock: seconds, from anywhere.
    """
    begun, done, said = clock(), 0, total is None or (advance is not ignore and not advice)
    first: tuple[float, int] | None = None  # after the first units, which also warm up

    def step(count: int) -> None:
        nonlocal done, said, first
        now = clock()
        done += count
        if first is None:
            first = now, done
        elif not said and done > first[1] and now - begun >= SPOKEN:
            said = True
            left = (now - first[0]) * (max(total or 0, done) - done) / (done - first[1])
            if left >= (LONG if advance is ignore else VERY_LONG):
                more = f"; {advice}" if advice and left >= VERY_LONG else ""
                log.info(f"{text}: about {show_duration(left)} left{more}")
        advance(count)

    return step


@contextmanager
def progress_bar(
    text: str, total: int | None, in_bytes: bool = False, advice: str = ""
) -> Iterator[Callable[[int], None]]:
    """Show how far a job of `total` units is; yields the function that advances it by n.

    Where there is no terminal, a line says how long a long job takes; `advice` is how to have it
    faster.
    """
    if not on_terminal():
        yield estimated(text, total, ignore, advice)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    done: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    what = TextColumn("{task.description}", markup=False)  # it holds the names of folders
    columns = (what, BarColumn(), done, TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(text, total=total)
        drawn = time.monotonic()

        def advance(count: int) -> None:
            nonlocal drawn
            bar.advance(task, count)
            if time.monotonic() - drawn >= REDRAW:
                drawn = time.monotonic()
                bar.refresh()  # below another bar, which draws itself only on request

        yield estimated(text, total, advance, advice)
