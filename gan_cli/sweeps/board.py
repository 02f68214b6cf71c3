"""What the user sees of a sweep: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import formatting
from gan_cli.console import console, on_terminal
from gan_cli.errors import CheckpointError
from gan_cli.runs.curves import Curves
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING, RunFolder
from gan_cli.sweeps.index import WAITING, Entry

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
FIGURES = "metrics/"  # the curves that evaluations draw


class Watcher:
    """The state of a run, as of the last `look`.

    Attributes:
        step: the last step that is known to be done.
        values: the last value of each curve, by name.
        status: what status.json says, {} where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.step = 0
        self.values: dict[str, float] = {}
        self.status: dict[str, Any] = {}
        self._curves = Curves(self.run.metrics)

    def look(self) -> None:
        """Read what is new. Files that are not there yet, or damaged, tell nothing."""
        try:
            self.status = self.run.recorded() or {}
        except CheckpointError:
            self.status = {}
        self.step = self.status.get("step") or 0
        for point in self._curves.new():
            self.step = max(self.step, int(point["step"]))
            self.values |= point

    @property
    def steps(self) -> int | None:
        """The run's length, once it has begun."""
        return self.status.get("steps")

    @property
    def images_per_second(self) -> float | None:
        """As of the last point of the curves."""
        return self.values.get(SPEED)

    @property
    def left(self) -> float | None:
        """Seconds to the end at the present pace."""
        if self.steps is None or PACE not in self.values:
            return None
        return max(0, self.steps - self.step) * self.values[PACE]

    @property
    def figure(self) -> tuple[str, float] | None:
        """The best value of the figure that checkpoints are kept by, else any figure's last."""
        if self._best:
            return self._best
        name = next((name for name in self.values if name.startswith(FIGURES)), None)
        return None if name is None else (name.removeprefix(FIGURES), self.values[name])

    @property
    def _best(self) -> tuple[str, float] | None:
        best = self.status.get("best") or {}
        name, value = best.get("figure"), best.get("value")
        return None if name is None or value is None else (name, value)

    def value(self, name: str) -> float | None:
        """The best value of a figure where checkpoints are kept by it, else its last."""
        if self._best and self._best[0] == name:
            return self._best[1]
        return self.values.get(FIGURES + name)

    def maximizes(self, name: str) -> bool:
        """Whether checkpoints are kept by this figure, and higher is better."""
        best = self.status.get("best") or {}
        return best.get("figure") == name and best.get("better") == "higher"


def shared_figure(watchers: Iterable[Watcher]) -> str | None:
    """The figure that most of the runs tell."""
    told = Counter(figure[0] for watcher in watchers if (figure := watcher.figure))
    return max(told, key=lambda name: told[name], default=None)


log = logging.getLogger(__name__)
LINE_EVERY = 60.0  # seconds between lines of how things stand
STYLES = {FINISHED: "green", FAILED: "bold red", KILLED: "bold red", INTERRUPTED: "yellow"}
STYLES |= {RUNNING: "cyan", WAITING: "dim"}
ORDER = (FAILED, KILLED, RUNNING, INTERRUPTED, WAITING, FINISHED)
BESIDE = 8  # lines of a terminal that the table leaves to messages and its own frame


def show(watcher: Watcher, figure: str | None) -> list[str]:
    """Step, images per second, `figure` and time left of a run; empty where not known."""
    steps = "" if watcher.steps is None else f" of {watcher.steps:,}"
    speed, left = watcher.images_per_second, watcher.left
    value = None if figure is None else watcher.value(figure)
    return [
        f"{watcher.step:,}{steps}" if watcher.step or steps else "",
        "" if speed is None else f"{speed:,.0f}",
        "" if value is None else f"{value:.4g}",
        "" if not left else formatting.show_duration(left),
    ]


class Board:
    """Tells of a sweep's jobs in lines, and how all stand now and then.

    Args:
        entries: of the index, by name.
        runs: the folders of this sweep's jobs, by name; of those done before, too.
    """

    def __init__(self, entries: Mapping[str, Entry], runs: Mapping[str, Path]) -> None:
        self.entries, self.names = entries, list(runs)
        self.watchers = {name: Watcher(run) for name, run in runs.items()}
        for watcher in self.watchers.values():
            watcher.look()
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
        self.watchers[entry.name].look()

    def show(self, watchers: Mapping[str, Watcher]) -> None:
        """How those that run stand now, by name."""
        if time.monotonic() - self._told < LINE_EVERY:
            return
        self._told = time.monotonic()
        for name, watcher in watchers.items():
            name_of, _ = watcher.figure or (None, None)
            step, speed, value, left = show(watcher, name_of)
            said = [f"step {step}" * bool(step), f"{speed} images/s" * bool(speed)]
            said += [f"{name_of} {value}" * bool(value), f"{left} left" * bool(left)]
            log.info(f"{name}: {', '.join(filter(None, said)) or 'begins'}")
        log.info(self.count())

    def table(self, lines: int) -> Table:
        """At most so many jobs, those that fail or run first, and among others the best first."""
        from rich.table import Table
        from rich.text import Text

        figure = shared_figure(self.watchers.values())
        table = Table(title=self.count(), title_justify="left")
        for name in ("job", "state"):
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        for name in ("step", "images/s", figure or "metric", "left"):
            table.add_column(Text(name), justify="right", no_wrap=True)
        sign = -1 if any(one.maximizes(figure or "") for one in self.watchers.values()) else 1

        def rank(name: str) -> tuple[int, float]:
            value = self.watchers[name].value(figure) if figure else None
            if value is None or math.isnan(value):
                value = sign * math.inf
            return ORDER.index(self.entries[name].state), sign * value

        chosen = sorted(self.names, key=rank)
        for name in chosen[: max(1, lines)]:
            state = self.entries[name].state
            *cells, left = show(self.watchers[name], figure)
            cells.append(left if state == RUNNING else "")
            table.add_row(Text(name), state, *map(Text, cells), style=STYLES[state])
        if len(chosen) > lines:
            table.caption = f"and {len(chosen) - max(1, lines)} more"
        return table


class LiveBoard(Board):
    """A table that is redrawn; messages appear above it."""

    def __init__(self, entries: Mapping[str, Entry], runs: Mapping[str, Path]) -> None:
        super().__init__(entries, runs)
        self._live: Live | None = None

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
        self.watchers[entry.name].look()
        self._draw()

    def show(self, watchers: Mapping[str, Watcher]) -> None:
        self.watchers |= watchers
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self.table(console().size.height - BESIDE), refresh=True)


def board_for(entries: Mapping[str, Entry], runs: Mapping[str, Path]) -> Board:
    """The board that stderr can show."""
    return (LiveBoard if on_terminal() else Board)(entries, runs)


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
