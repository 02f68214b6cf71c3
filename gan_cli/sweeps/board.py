"""What the user sees of a sweep: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli import duration
from gan_cli.console import console, on_terminal
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING
from gan_cli.sweeps.index import WAITING, Entry
from gan_cli.sweeps.watching import Watcher

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

log = logging.getLogger(__name__)
LINE_EVERY = 60.0  # seconds between lines of how things stand
STYLES = {FINISHED: "green", FAILED: "bold red", KILLED: "bold red", INTERRUPTED: "yellow"}
STYLES |= {RUNNING: "cyan", WAITING: "dim"}
ORDER = (FAILED, KILLED, RUNNING, INTERRUPTED, WAITING, FINISHED)
BESIDE = 8  # lines of a terminal that the table leaves to messages and its own frame


def show(watcher: Watcher) -> list[str]:
    """Step, images per second, figure and time left of a run; empty where not known."""
    steps = "" if watcher.steps is None else f" of {watcher.steps:,}"
    speed, left, figure = watcher.images_per_second, watcher.left, watcher.figure
    return [
        f"{watcher.step:,}{steps}" if watcher.step or steps else "",
        "" if speed is None else f"{speed:,.0f}",
        "" if figure is None else f"{figure[0]} {figure[1]:.4g}",
        "" if left is None else duration.show(left),
    ]


class Board:
    """Tells of a sweep's jobs in lines, and how all stand now and then.

    Args:
        entries: of the index, by name.
        names: the jobs of this sweep.
    """

    def __init__(self, entries: Mapping[str, Entry], names: Sequence[str]) -> None:
        self.entries, self.names = entries, names
        self._told = time.monotonic()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def count(self) -> str:
        """How many jobs are in which state."""
        states = Counter(self.entries[name].state for name in self.names)
        return ", ".join(f"{states[state]} {state}" for state in ORDER if states[state])

    def began(self, entry: Entry) -> None:
        """A job has started, or goes on."""
        log.info(f"{entry.name}: begins")

    def ended(self, entry: Entry, run: Path, path: Path) -> None:
        """A job has ended; a failure comes with its reason and the place of its log."""
        if entry.state in (FAILED, KILLED):
            log.error(f"{entry.name}: {entry.state}: {entry.error} (see {path})")
        else:
            log.info(f"{entry.name}: {entry.state} ({self.count()})")

    def show(self, watchers: Mapping[str, Watcher]) -> None:
        """How those that run stand now, by name."""
        if time.monotonic() - self._told < LINE_EVERY:
            return
        self._told = time.monotonic()
        for name, watcher in watchers.items():
            step, speed, figure, left = show(watcher)
            said = [f"step {step}" * bool(step), f"{speed} images/s" * bool(speed)]
            said += [figure, f"{left} left" * bool(left)]
            log.info(f"{name}: {', '.join(filter(None, said)) or 'begins'}")
        log.info(self.count())


class LiveBoard(Board):
    """A table that is redrawn; messages appear above it."""

    def __init__(self, entries: Mapping[str, Entry], names: Sequence[str]) -> None:
        super().__init__(entries, names)
        self._live: Live | None = None
        self._last: dict[str, list[str]] = {}

    def __enter__(self) -> LiveBoard:
        from rich.live import Live

        self._live = Live(console=console(), auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def began(self, entry: Entry) -> None:
        self._draw()

    def ended(self, entry: Entry, run: Path, path: Path) -> None:
        if entry.state in (FAILED, KILLED):
            super().ended(entry, run, path)
        watcher = Watcher(run)
        watcher.look()
        self._last[entry.name] = [*show(watcher)[:3], ""]
        self._draw()

    def show(self, watchers: Mapping[str, Watcher]) -> None:
        self._last |= {name: show(watcher) for name, watcher in watchers.items()}
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self.table(console().size.height - BESIDE), refresh=True)

    def table(self, lines: int) -> Table:
        """At most so many jobs, those that fail or run first."""
        from rich.table import Table

        table = Table(title=self.count(), title_justify="left")
        for name in ("job", "state"):
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        for name in ("step", "images/s", "metric", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        chosen = [self.entries[name] for name in self.names]
        chosen.sort(key=lambda entry: ORDER.index(entry.state))
        for entry in chosen[: max(1, lines)]:
            cells = self._last.get(entry.name, [""] * 4)
            table.add_row(entry.name, entry.state, *cells, style=STYLES[entry.state])
        if len(chosen) > lines:
            table.caption = f"and {len(chosen) - max(1, lines)} more"
        return table


def board_for(entries: Mapping[str, Entry], names: Sequence[str]) -> Board:
    """The board that stderr can show."""
    return (LiveBoard if on_terminal() else Board)(entries, names)


def failures(entries: Sequence[Entry], logs: Path) -> Table:
    """The jobs that failed, each with its reason and its log, which is in `logs`."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"failed; logs are in {logs}"), title_justify="left")
    table.add_column("job", overflow="fold")
    table.add_column("status", justify="right")
    table.add_column("reason")
    for entry in entries:
        status = "" if entry.exit_status is None else str(entry.exit_status)
        table.add_row(entry.name, status, Text(entry.error or ""))
    return table
