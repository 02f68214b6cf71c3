"""The report on the terminal, once or redrawn while runs and sweeps are running."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gan_cli import foreign
from gan_cli.console import PIPED_WIDTH, clean_console
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import DONE
from gan_cli.formatting import counted, number, show_duration, user_path
from gan_cli.reporting.configurations import BEST, Configuration
from gan_cli.reporting.findings import Findings, spread
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
SPEED, TIME = "samples/s", "time"
DROPPED = (SPEED, TIME, BEST)  # columns left out where a table is too wide, in this order


def screen() -> Console:
    """The console that tables are printed on."""
    return clean_console(PIPED_WIDTH)


def rendered(found: Sequence[Findings], live: bool = False) -> RenderableType:
    """The report; a live one leaves out what only finished runs can show."""
    parts: list[RenderableType] = []
    for one in found:
        parts += [Text()] if parts else []
        parts += [Text(one.question, style="bold"), *(Text(line) for line in one.answer)]
        parts += [ResultsTable(one)]
        if not live:
            parts += advised(one)
            parts += _lines("Comparisons", [str(pair) for pair in one.comparisons])
            parts += _lines("Effects", [f"{each.question} {each}" for each in one.effects])
        parts += [Text(f"warning: {line}", style="yellow") for line in one.warnings]
    parts += _lines("Alarms", alarms([record for one in found for record in one.alarmed]))
    parts += stopped([record for one in found for record in one.interrupted])
    parts += failures([record for one in found for record in one.failed])
    return Group(*parts)


@dataclass(frozen=True)
class ResultsTable:
    """One line for each configuration, best first, with those columns that fit the width.

    Attributes:
        found: the configurations.
        deviation: show the standard deviation over seeds in place of the interval.
        most: lines.
    """

    found: Findings
    deviation: bool = False
    most: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for n in range(len(DROPPED) + 1):
            made = self._table(DROPPED[:n], merged=False)
            if (
                Measurement.get(console, options.update(width=1000), made).maximum
                <= options.max_width
            ):
                break
        else:
            made = self._table(DROPPED, merged=True)
        yield made
        if notes := self._notes():
            yield Text(f"({'; '.join(notes)})", style="dim")

    def _table(self, dropped: Sequence[str], merged: bool) -> Table:
        found, made = self.found, Table(box=SIMPLE_HEAD, pad_edge=False)
        apart = bool(found.columns) and not merged
        for head in found.heads if apart else ["configuration"]:
            made.add_column(head, overflow="fold")
        columns = {head: cell for head, cell in self._columns().items() if head not in dropped}
        for head in columns:
            made.add_column(head, justify="left" if head == "runs" else "right", no_wrap=True)
        for one in found.configurations[: self.most]:
            settings = one.settings.values() if apart else [one.label]
            made.add_row(*settings, *(cell(one) for cell in columns.values()))
        return made

    def _columns(self) -> dict[str, Callable[[Configuration], Text | str]]:
        """The cells below each head."""
        columns: dict[str, Callable[[Configuration], Text | str]] = {"runs": states, "step": steps}
        if self.found.metric is not None:
            columns[self.found.metric.name] = lambda one: self._value(
                one.values, [run.value for run in one.outcomes], one.error, "bold"
            )
            if self.found.at != BEST:
                columns[BEST] = lambda one: self._value(
                    one.bests, [run.best for run in one.outcomes], one.error
                )
        columns[TIME] = lambda one: "" if one.seconds is None else show_duration(one.seconds)
        columns[SPEED] = lambda one: "" if one.speed is None else number(round(one.speed))
        return columns

    def _value(
        self,
        values: Sequence[float],
        every: Sequence[float | None],
        error: float | None,
        style: str = "",
    ) -> Text:
        """The mean over runs that count; where there are none, that of all in brackets."""
        if values:
            return Text(spread(values, error, self.deviation), style)
        known = [value for value in every if value is not None]
        return Text(f"({number(sum(known) / len(known))})" if known else "", "dim")

    def _notes(self) -> list[str]:
        found, notes = self.found, []
        if self.most is not None and (left := len(found.configurations) - self.most) > 0:
            notes.append(f"{left:,} more in the report")
        if found.metric is None:
            return notes
        if any(len(one.values) > 1 for one in found.configurations):
            what = "standard deviation" if self.deviation else "half of the 95 % t-interval"
            notes.append(f"mean ± {what} over seeds")
        unfinished = [run for one in found.configurations if not one.values for run in one.outcomes]
        if any(run.value is not None for run in unfinished):
            notes.append("in brackets: not finished, so not compared")
        return [f"{found.metric.better} is better", *notes]


def states(one: Configuration) -> Text:
    """How many runs finished, and how many are in other states: `2 + 1 failed`."""
    finished = one.states.get(FINISHED, 0)
    parts = [Text(str(finished))] if finished else []
    parts += [
        Text(f"{n} {state}", COLOURS.get(state, "dim"))
        for state, n in one.states.items()
        if state != FINISHED
    ]
    return Text(" + ").join(parts)


def steps(one: Configuration) -> str:
    """The step, or the first and last of several."""
    first, *_, last = [*one.steps, one.steps[-1]]
    return f"{first:,}" if first == last else f"{first:,}-{last:,}"


def advised(found: Findings) -> list[RenderableType]:
    """The command that evaluates what has no value yet."""
    if found.advice is None:
        return []
    text, command = found.advice
    return [Text(f"{text}:"), _command(command)]


def _indented(*parts: str | tuple[str, str]) -> Padding:
    """Text whose lines are indented, all of them."""
    return Padding(Text.assemble(*parts), (0, 0, 0, 2))


def _command(text: str) -> Text:
    """A command on one line, however long, so that it can be copied."""
    return Text(f"  {text}", no_wrap=True, overflow="ignore")


def stopped(records: Sequence[Record]) -> list[RenderableType]:
    """Runs that were interrupted, and the commands that resume them."""
    if not records:
        return []
    parts: list[RenderableType] = [Text("Interrupted; to resume:", "bold")]
    for record in records:
        of = f" of {total:,}" if (total := record.status.get("steps")) else ""
        parts += [_indented(f"step {record.step:,}{of}; {why(record)}"), _command(record.resume)]
    return parts


def alarms(records: Sequence[Record]) -> list[str]:
    """The alarms of runs, one a line."""
    return [f"{record.folder.path}: {one}" for record in records for one in record.alarms]


def failures(records: Sequence[Record]) -> list[RenderableType]:
    """Runs that failed or were killed, the reason, and their logs."""
    parts: list[RenderableType] = [Text("Failed", "bold")] if records else []
    for record in records:
        parts += [
            _indented(
                f"{record.folder.path}: ",
                (record.state, COLOURS.get(record.state, "dim")),
                f" at step {record.step:,}: {why(record)}",
            ),
            _command(f"  log: {record.folder.log}"),
        ]
    return parts


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
    made += [_indented(line) for line in lines[:MOST_LINES]]
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
        for path in sorted(user_path(place).glob("*/" * depth + INDEX))
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
    look: Callable[[], Sequence[Findings]],
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


def _look(
    look: Callable[[], Sequence[Findings]], found: Sequence[Sweep]
) -> tuple[bool, RenderableType]:
    """Whether runs are running or jobs waiting, and the table."""
    running = any(sweep.running for sweep in found)
    lines = [Text(str(sweep), style="dim") for sweep in found]
    try:
        findings = look()
    except (CheckpointError, ConfigError) as error:
        if not running and isinstance(error, CheckpointError):  # else there are no curves yet
            raise
        return True, Group(Text(f"waiting: {error}", style="dim"), *lines)
    records = [record for one in findings for record in one.records]
    running = running or any(record.state == RUNNING for record in records)
    return running, Group(rendered(findings, live=running), *lines)
