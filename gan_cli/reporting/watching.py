"""The table of runs as they go on, from their folders alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gan_cli import foreign
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import DONE
from gan_cli.reporting import terminal
from gan_cli.reporting.findings import Findings
from gan_cli.runs.folder import RUNNING, STATES, UNKNOWN, RunFolder

INDEX = "sweep.json"
KNOWN = (*STATES, "waiting")  # states of a job
DEPTH = 2  # folders between a place and the sweeps in it: runs/sweeps/NAME


@dataclass(frozen=True)
class Sweep:
    """How a sweep stands, as its sweep.json says.

    Attributes:
        folder: the sweep's.
        states: how many jobs are in which state.
        going: its process still runs, so jobs that wait will be started.
    """

    folder: Path
    states: Counter[str]
    going: bool

    def __str__(self) -> str:
        told = ", ".join(f"{n} {state}" for state, n in self.states.items())
        over = "" if self.going else "; it has ended"
        return f"{self.folder}: {self.states.total()} jobs: {told}{over}"


def sweeps(places: Sequence[str]) -> list[Sweep]:
    """The sweeps at some places; of an index that cannot be read nothing is known."""
    folders = dict.fromkeys(
        path.parent
        for place in places
        for depth in range(DEPTH + 1)
        for path in sorted(Path(place).expanduser().glob("*/" * depth + INDEX))
    )
    return [sweep for folder in folders if (sweep := _sweep(folder))]


def _sweep(folder: Path) -> Sweep | None:
    try:
        found = foreign.read_json(folder / INDEX)
    except (FileNotFoundError, CheckpointError):
        return None
    jobs = found.get("jobs") if isinstance(found, dict) else None
    if not isinstance(jobs, list):
        return None
    said = [job.get("state") for job in jobs if isinstance(job, dict)]
    states = Counter(state if state in KNOWN else UNKNOWN for state in said)
    # A sweep that was killed still says that it runs; the lock of its folder tells.
    going = found.get("state") == RUNNING and RunFolder(folder).in_use()
    return Sweep(folder, states, going)


def watch(
    console: Console,
    look: Callable[[], Findings],
    every: float,
    wait: Callable[[float], None] = time.sleep,
    standing: Callable[[], Sequence[Sweep]] = tuple,
) -> int:
    """Redraw what `look` finds until no run and no sweep goes on; the exit status.

    Where the screen cannot be redrawn, only the last table is printed.

    Args:
        console: the screen.
        look: reads the runs.
        every: seconds between two looks.
        wait: for these seconds.
        standing: reads the sweeps.

    Raises:
        KeyboardInterrupt: the user has seen enough.
        UserError: there are no such runs.
    """
    with Live(console=console, auto_refresh=False, transient=False) as shown:
        while True:
            going, view = _look(look, standing())
            shown.update(view, refresh=True)
            if not going:
                return DONE
            wait(every)


def _look(look: Callable[[], Findings], found: Sequence[Sweep]) -> tuple[bool, RenderableType]:
    """Whether runs go on or jobs wait, and the table."""
    going = any(sweep.going for sweep in found)
    lines = [Text(str(sweep), style="dim") for sweep in found]
    try:
        findings = look()
    except ConfigError as error:  # no curves yet
        return True, Group(Text(f"waiting: {error}", style="dim"), *lines)
    except CheckpointError as error:
        if not going:
            raise
        return True, Group(Text(f"waiting: {error}", style="dim"), *lines)
    going = going or any(record.state == RUNNING for record in findings.records)
    return going, Group(terminal.rendered(findings, live=going), *lines)
