"""The report on the terminal, once or redrawn while runs and sweeps are running."""

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

from gan_cli import foreign
from gan_cli.console import PIPED_WIDTH, clean_console
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import DONE
from gan_cli.formatting import Interval, counted, number, show_duration
from gan_cli.reporting.comparison import power
from gan_cli.reporting.configurations import BEST, RunOutcome
from gan_cli.reporting.findings import Findings
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
    """The console that tables are printed on."""
    return clean_console(PIPED_WIDTH)


def rendered(found: Findings, live: bool = False) -> RenderableType:
    """The report; a live one leaves out what only finished runs can show."""
    parts: list[RenderableType] = [table(found)]
    if not live:
        parts += _lines("Comparisons", [str(one) for one in found.comparisons])
        if reason := power(found.comparisons):
            parts.append(Text(reason, style="dim"))
        parts += _lines("Effects", [f"{one.question} {one}" for one in found.effects])
    if found.troubled:
        parts.append(troubles(found.troubled))
    return Group(*parts, *(Text(f"warning: {line}", style="yellow") for line in found.warnings))


def titled(title: Text) -> Table:
    """A table with its title on the left."""
    return Table(title=title, title_justify="left", title_style="")


def table(found: Findings) -> Table:
    """One line for each configuration."""
    title = f", {found.metric.better} is better; {found.at} values: {ENDS}"
    made = titled(Text.assemble((found.metric.name, "bold"), title))
    for column in found.columns or ["configuration"]:
        made.add_column(column)
    both = [] if found.at == BEST else [BEST]
    for head in ("runs", "step", found.at, *both, "time", "images/s"):
        made.add_column(head, justify="left" if head == "runs" else "right", no_wrap=True)
    for one in found.configurations:
        values = [_value(one.metric, one.outcomes, lambda run: run.value, "bold")]
        if both:
            values.append(_value(one.best, one.outcomes, lambda run: run.best))
        made.add_row(
            *(one.settings.values() if found.columns else [one.label]),
            Text(", ").join(
                Text(f"{n} {state}", COLOURS.get(state, "dim")) for state, n in one.states.items()
            ),
            f"{one.step:,}",
            *values,
            "" if one.seconds is None else show_duration(one.seconds),
            "" if one.speed is None else number(round(one.speed)),
        )
    return made


def _value(
    value: Interval | None,
    outcomes: Sequence[RunOutcome],
    of: Callable[[RunOutcome], float | None],
    style: str = "",
) -> Text:
    """The mean over runs that count; where there are none, that of all in brackets."""
    if value is not None:
        return Text(spread(value), style)
    known = [v for v in map(of, outcomes) if v is not None]
    return Text(f"({number(sum(known) / len(known))})" if known else "", "dim")


def spread(value: Interval) -> str:
    """`12.3 ± 1.1`."""
    return number(value.mean) + ("" if value.half is None else f" ± {number(value.half)}")


def troubles(records: Sequence[Record]) -> Table:
    """Runs that are neither finished nor running, the reason, and their logs."""
    made = titled(Text("Not finished", "bold"))
    made.add_column("run", overflow="fold")
    made.add_column("state", no_wrap=True)
    made.add_column("step", justify="right", no_wrap=True)
    made.add_column("reason", overflow="fold")
    for record in records:
        made.add_row(
            str(record.folder.path),
            Text(record.state, COLOURS.get(record.state, "dim")),
            f"{record.step:,}",
            f"{why(record)} ({record.folder.log})",
        )
    return made


def why(record: Record) -> str:
    """The reason why a run is not finished."""
    if error := record.status.get("error"):
        return str(error)
    if record.state == KILLED:
        return f"the process ended without saving (killed, or the terminal closed?); {record.rest}"
    if record.state == INTERRUPTED:
        return f"stopped by a signal; {record.rest}"
    return "no reason was recorded"


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
    """The state of a sweep according to its sweep.json.

    Attributes:
        folder: the sweep's.
        states: how many jobs are in which state.
        running: whether its process is alive, so that waiting jobs will be started.
    """

    folder: Path
    states: Counter[str]
    running: bool

    def __str__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in self.states.items())
        ended = "" if self.running else "; it has ended"
        return f"{self.folder}: {counted(self.states.total(), 'job')}: {states}{ended}"


def sweeps(places: Sequence[str]) -> list[Sweep]:
    """The sweeps at some places whose index can be read."""
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
    found_states = [job.get("state") for job in jobs if isinstance(job, dict)]
    states = Counter(state if state in KNOWN else UNKNOWN for state in found_states)
    # The index of a sweep that was killed still has the state running; its lock is free.
    running = found.get("state") == RUNNING and RunFolder(folder).in_use()
    return Sweep(folder, states, running)


def watch(
    console: Console,
    look: Callable[[], Findings],
    every: float,
    wait: Callable[[float], None] = time.sleep,
    standing: Callable[[], Sequence[Sweep]] = tuple,
) -> int:
    """Redraw what `look` finds until no run and no sweep is running; the exit status.

    Where the screen cannot be redrawn, only the last table is printed.

    Args:
        console: the screen.
        look: reads the runs.
        every: seconds between two looks.
        wait: for these seconds.
        standing: reads the sweeps.

    Raises:
        KeyboardInterrupt: the user stopped it.
        UserError: there are no such runs.
    """
    with Live(console=console, auto_refresh=False, transient=False) as shown:
        while True:
            running, view = _look(look, standing())
            shown.update(view, refresh=True)
            if not running:
                return DONE
            wait(every)


def _look(look: Callable[[], Findings], found: Sequence[Sweep]) -> tuple[bool, RenderableType]:
    """Whether runs are running or jobs waiting, and the table."""
    running = any(sweep.running for sweep in found)
    lines = [Text(str(sweep), style="dim") for sweep in found]
    try:
        findings = look()
    except (CheckpointError, ConfigError) as error:
        if not running and isinstance(error, CheckpointError):  # else there are no curves yet
            raise
        return True, Group(Text(f"waiting: {error}", style="dim"), *lines)
    running = running or any(record.state == RUNNING for record in findings.records)
    return running, Group(rendered(findings, live=running), *lines)
