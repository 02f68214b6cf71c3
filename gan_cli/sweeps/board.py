"""The jobs of a sweep on the screen: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import formatting
from gan_cli.console import console, on_terminal
from gan_cli.errors import CheckpointError
from gan_cli.runs.curves import Curves
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING, RunFolder
from gan_cli.sweeps.index import WAITING, JobEntry

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

log = logging.getLogger(__name__)
SPEED, PACE = "speed/images_per_second", "speed/seconds_per_step"
METRICS = "metrics/"  # the curves of evaluations
LINE_EVERY = 60.0  # seconds between lines on the running jobs
STYLES = {FINISHED: "green", FAILED: "bold red", KILLED: "bold red", INTERRUPTED: "yellow"}
STYLES |= {RUNNING: "cyan", WAITING: "dim"}
ORDER = (FAILED, KILLED, RUNNING, INTERRUPTED, WAITING, FINISHED)
BESIDE = 8  # lines of a terminal that the table leaves to messages and its own frame


class JobProgress:
    """The progress of a run, as of the last `update`.

    Attributes:
        step: the last step known to be done.
        values: the last value of each curve, by name.
        status: the content of status.json, {} where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.step = 0
        self.values: dict[str, float] = {}
        self.status: dict[str, Any] = {}
        self._curves = Curves(self.run.metrics)

    def update(self) -> None:
        """Read what is new; missing and damaged files are ignored."""
        try:
            self.status = self.run.recorded() or {}
        except CheckpointError:
            self.status = {}
        for point in self._curves.new():
            self.values |= point
        self.step = max(self.status.get("step") or 0, int(self.values.get("step", 0)))

    @property
    def steps(self) -> int | None:
        """The run's length, once it has started."""
        return self.status.get("steps")

    @property
    def best(self) -> dict[str, Any]:
        """The metric that checkpoints are kept by, with its best value, or {}."""
        found = self.status.get("best") or {}
        complete = found.get("figure") is not None and found.get("value") is not None
        return found if complete else {}

    @property
    def metric(self) -> str | None:
        """The metric that checkpoints are kept by, else the first one of the curves."""
        names = (name for name in self.values if name.startswith(METRICS))
        return self.best.get("figure") or next(names, "").removeprefix(METRICS) or None

    def value(self, metric: str | None) -> float | None:
        """The best value of a metric if checkpoints are kept by it, else its last."""
        if metric is not None and self.best.get("figure") == metric:
            return self.best["value"]
        return self.values.get(f"{METRICS}{metric}")

    def cells(self, metric: str | None) -> list[str]:
        """Step, samples per second, `metric` and time left; empty where unknown."""
        steps = "" if self.steps is None else f" of {self.steps:,}"
        speed, value, left = self.values.get(SPEED), self.value(metric), ""
        if self.steps is not None and PACE in self.values and self.steps > self.step:
            left = formatting.show_duration((self.steps - self.step) * self.values[PACE])
        return [
            f"{self.step:,}{steps}" if self.step or steps else "",
            "" if speed is None else f"{speed:,.0f}",
            "" if value is None else f"{value:.4g}",
            left,
        ]


class Board:
    """Logs a line when a job starts or ends, and now and then one on each running job.

    Args:
        entries: of the index, by name.
        runs: the folders of this sweep's jobs, by name; of those done before, too.
    """

    def __init__(self, entries: Mapping[str, JobEntry], runs: Mapping[str, Path]) -> None:
        self.entries, self.progress = (
            entries,
            {name: JobProgress(run) for name, run in runs.items()},
        )
        for one in self.progress.values():
            one.update()
        self._logged = time.monotonic()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def count(self) -> str:
        """The number of jobs in each state."""
        states = Counter(self.entries[name].state for name in self.progress)
        return ", ".join(f"{states[state]} {state}" for state in ORDER if states[state])

    def started(self, entry: JobEntry) -> None:
        """Show that a job has started."""
        log.info(f"{entry.name}: started")

    def ended(self, entry: JobEntry, path: Path) -> None:
        """Show that a job has ended; a failure with its reason and its log, `path`."""
        if entry.state in (FAILED, KILLED):
            log.error(f"{entry.name}: {entry.state}: {entry.error} (see {path})")
        else:
            log.info(f"{entry.name}: {entry.state} ({self.count()})")
        self.progress[entry.name].update()

    def show(self, running: Sequence[str]) -> None:
        """Read and show the progress of the running jobs, given by name."""
        for name in running:
            self.progress[name].update()
        self._show(running)

    def _show(self, running: Sequence[str]) -> None:
        if time.monotonic() - self._logged < LINE_EVERY:
            return
        self._logged = time.monotonic()
        for name in running:
            metric = self.progress[name].metric
            step, speed, value, left = self.progress[name].cells(metric)
            parts = [f"step {step}" * bool(step), f"{speed} samples/s" * bool(speed)]
            parts += [f"{metric} {value}" * bool(value), f"{left} left" * bool(left)]
            log.info(f"{name}: {', '.join(filter(None, parts)) or 'starting'}")
        log.info(self.count())

    def table(self, lines: int) -> Table:
        """A table of at most `lines` jobs: failed and running ones first, then by their metric."""
        from rich.table import Table
        from rich.text import Text

        metrics = Counter(name for one in self.progress.values() if (name := one.metric))
        metric = max(metrics, key=lambda name: metrics[name], default=None)
        bests = [one.best for one in self.progress.values()]
        higher = any(b and b.get("figure") == metric and b.get("better") == "higher" for b in bests)
        sign = -1 if higher else 1

        def rank(name: str) -> tuple[int, float]:
            value = self.progress[name].value(metric)
            known = math.inf if value is None or math.isnan(value) else sign * value
            return ORDER.index(self.entries[name].state), known

        table = Table(title=self.count(), title_justify="left")
        for name in ("job", "state"):
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        for name in ("step", "samples/s", *([metric] if metric else []), "left"):
            table.add_column(Text(name), justify="right", no_wrap=True)
        ranked = sorted(self.progress, key=rank)
        for name in ranked[: max(1, lines)]:
            state = self.entries[name].state
            step, speed, value, left = self.progress[name].cells(metric)
            cells = [step, speed, *([value] if metric else []), left if state == RUNNING else ""]
            table.add_row(Text(name), state, *map(Text, cells), style=STYLES[state])
        if len(ranked) > lines:
            table.caption = f"and {len(ranked) - max(1, lines)} more"
        return table


class LiveBoard(Board):
    """A table that is redrawn; messages appear above it."""

    def __init__(self, entries: Mapping[str, JobEntry], runs: Mapping[str, Path]) -> None:
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

    def started(self, entry: JobEntry) -> None:
        self._draw()

    def ended(self, entry: JobEntry, path: Path) -> None:
        if entry.state in (FAILED, KILLED):
            super().ended(entry, path)
        self.progress[entry.name].update()
        self._draw()

    def _show(self, running: Sequence[str]) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self.table(console().size.height - BESIDE), refresh=True)


def board_for(entries: Mapping[str, JobEntry], runs: Mapping[str, Path]) -> Board:
    """The board that stderr can show."""
    return (LiveBoard if on_terminal() else Board)(entries, runs)


def failures(entries: Sequence[JobEntry], logs: Path) -> Table:
    """A table of the failed jobs with their reasons; their logs are in `logs`."""
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
