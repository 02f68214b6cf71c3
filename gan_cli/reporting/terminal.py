"""The report as tables on the screen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_cli import foreign, formatting
from gan_cli.console import PIPED_WIDTH, clean_console
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import DONE
from gan_cli.formatting import Interval, counted, number
from gan_cli.reporting.comparison import power
from gan_cli.reporting.findings import ConfigurationRow, Findings
from gan_cli.reporting.metric import LOWER
from gan_cli.runs.folder import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    KILLED,
    RUNNING,
    STATES,
    UNKNOWN,
    RunFolder,
)
from gan_cli.runs.record import Record

COLOURS = {RUNNING: "cyan", FINISHED: "green", INTERRUPTED: "yellow", KILLED: "red", FAILED: "red"}
MOST_LINES = 12  # of comparisons
ENDS = "mean ± half of the 95 % t-interval over seeds"


def screen() -> Console:
    """Where tables go."""
    return clean_console(PIPED_WIDTH)


def show(console: Console, found: Findings, live: bool = False) -> None:
    """Print a report."""
    console.print(rendered(found, live))


def rendered(found: Findings, live: bool = False) -> RenderableType:
    """The report; a live one leaves out what only finished runs can tell."""
    parts: list[RenderableType] = [table(found)]
    if not live:
        parts += _lines("Comparisons", [str(one) for one in found.comparisons])
        if reason := power(found.comparisons):
            parts.append(Text(reason, style="dim"))
        parts += _lines("Effects", [f"{one.question} {one}" for one in found.effects])
    if found.troubled:
        parts.append(troubles(found.troubled))
    parts += [Text(f"warning: {line}", style="yellow") for line in dict.fromkeys(found.warnings)]
    return Group(*parts)


def table(found: Findings) -> Table:
    """One line for each configuration."""
    better = "lower is better" if found.metric.better == LOWER else "higher is better"
    title = Text.assemble((found.metric.name, "bold"), f", {better}; {found.at} values: {ENDS}")
    made = Table(title=title, title_justify="left", title_style="")
    for column in found.columns or ["configuration"]:
        made.add_column(column)
    made.add_column("runs", no_wrap=True)
    made.add_column("step", justify="right", no_wrap=True)
    made.add_column(found.at, justify="right", no_wrap=True)
    if found.at != "best":
        made.add_column("best", justify="right", no_wrap=True)
    made.add_column("time", justify="right", no_wrap=True)
    made.add_column("images/s", justify="right", no_wrap=True)
    for row in found.rows:
        settings = row.configuration.settings.values() if found.columns else [row.label]
        figures = [_figure(row, row.metric, found)]
        figures += [] if found.at == "best" else [_figure(row, row.best, found, best=True)]
        made.add_row(
            *settings,
            states(row),
            f"{row.steps:,}",
            *figures,
            "" if row.seconds is None else formatting.show_duration(row.seconds),
            "" if row.speed is None else number(round(row.speed)),
        )
    return made


def states(row: ConfigurationRow) -> Text:
    """How the runs of a configuration stand, in colours."""
    parts = [Text(f"{n} {state}", COLOURS.get(state, "dim")) for state, n in row.states.items()]
    return Text(", ").join(parts)


def _figure(
    row: ConfigurationRow, value: Interval | None, found: Findings, best: bool = False
) -> Text:
    if value is not None:
        return Text(spread(value), "" if best else "bold")
    so_far = [o.best if best else o.value(found.at) for o in row.outcomes]
    known = [v for v in so_far if v is not None]
    return Text(f"({number(sum(known) / len(known))})" if known else "", "dim")


def spread(value: Interval) -> str:
    """`12.3 ± 1.1`."""
    return number(value.mean) + ("" if value.half is None else f" ± {number(value.half)}")


def troubles(records: Sequence[Record]) -> Table:
    """Runs that neither finished nor go on, why, and where to read more."""
    made = Table(title=Text("Not finished", "bold"), title_justify="left", title_style="")
    made.add_column("run", overflow="fold")
    made.add_column("state", no_wrap=True)
    made.add_column("step", justify="right", no_wrap=True)
    made.add_column("why", overflow="fold")
    for record in records:
        colour = COLOURS.get(record.state, "dim")
        made.add_row(
            str(record.folder.path),
            Text(record.state, colour),
            f"{record.step:,}",
            f"{why(record)} ({record.folder.log})",
        )
    return made


def why(record: Record) -> str:
    """What ended a run that is not finished."""
    if error := record.status.get("error"):
        return str(error)
    if record.state == KILLED:
        return f"the process ended without saving (killed, or the terminal closed?); {record.rest}"
    if record.state == INTERRUPTED:
        return f"stopped by a signal; {record.rest}"
    return "no reason was kept"


def _lines(title: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    made: list[RenderableType] = [Text(title, style="bold")]
    made += [Text(f"  {line}") for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        made.append(Text(f"  and {len(lines) - MOST_LINES} more, in the page", style="dim"))
    return made


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
        return f"{self.folder}: {counted(self.states.total(), 'job')}: {told}{over}"


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
    return going, Group(rendered(findings, live=going), *lines)
