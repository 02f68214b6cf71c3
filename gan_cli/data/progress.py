"""A progress bar on stderr that goes away when it is done; nothing where stderr is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gan_cli.console import console, on_terminal

REDRAW = 0.1  # seconds


def ignore(count: int) -> None:
    """Advance no bar."""


@contextmanager
def progress_bar(
    text: str, total: int | None, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how far a job of `total` units is; yields the function that advances it by n."""
    if not on_terminal():
        yield ignore
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
                bar.refresh()  # below another bar, which may draw itself only when it is told

        yield advance
