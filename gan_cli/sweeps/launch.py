"""A sweep from start to end: plan its jobs, index them, run them, report how they ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli import files
from gan_cli.config.command_line import Command, split
from gan_cli.config.schema import Settings
from gan_cli.console import PIPED_WIDTH, clean_console, console, setup_logging
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import RunFailedError
from gan_cli.formatting import counted, shell_command
from gan_cli.jobs.fork_server import ForkStarter, possible
from gan_cli.jobs.processes import GRACE, SpawnStarter, Starter, training
from gan_cli.runs.folder import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    KILLED,
    RUNNING,
    RunFolder,
    is_run,
)
from gan_cli.runs.record import read
from gan_cli.sweeps.board import Board, board_for, failures
from gan_cli.sweeps.index import Index, JobEntry, locked
from gan_cli.sweeps.plan import (
    SweepJob,
    enter,
    identity,
    job_state,
    plan,
    sweep_name,
    warn_of_split_groups,
    without_repeats,
)
from gan_cli.sweeps.scheduler import Scheduler
from gan_cli.sweeps.slots import Slots

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)
# Settings of the sweep, which its jobs are not given.
OWN = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep")
OWN += ("hydra.mode",)
MOST_LINES = 60  # of the table of results

command: ContextVar[Command] = ContextVar("command")  # the command line of the sweep


@dataclass(frozen=True)
class Request:
    """The sweep that a launcher is to run.

    Attributes:
        settings_of: composes and validates a job's overrides.
        jobs: the overrides of each, as Hydra gives them.
        fixed: overrides that all share.
        swept: keys that take several values.
        root: folder of runs.
        dir: the sweep's folder, or None.
        name: of its folder below `root`, or None.
        retry_failed: whether to run again the jobs that failed.
        dry_run: only list the jobs.
    """

    settings_of: Callable[[Sequence[str]], Settings]
    jobs: Sequence[Sequence[str]]
    fixed: Sequence[str]
    swept: Sequence[str]
    root: Path
    dir: Path | None = None
    name: str | None = None
    retry_failed: bool = False
    dry_run: bool = False

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        if self.dir is not None:
            return self.dir
        return self.root / "sweeps" / (self.name or sweep_name(self.fixed, self.swept))


@dataclass(frozen=True)
class Backend:
    """How jobs are run.

    Attributes:
        starter: of the processes.
        slots: places for these jobs.
        groups: the jobs of each process, given the number of slots; by default one each.
        grace: seconds that a stopped job has to save its state.
    """

    starter: Starter
    slots: Callable[[Sequence[SweepJob]], Slots]
    groups: Callable[[Sequence[SweepJob], int], Sequence[Sequence[SweepJob]]] | None = None
    grace: float = GRACE


def run(request: Request, backend: Backend) -> None:
    """Run a sweep, or the rest of one.

    Raises:
        ConfigError: nothing was started; the message names the jobs and their faults.
        CheckpointError: likewise: another sweep is in the folder, or a link leads out of it.
        RunFailedError: jobs failed, as was reported.
        UserError: all went well, but the index cannot be written.
        KeyboardInterrupt: a signal asked to stop, and all was saved.
    """
    setup_logging(None)
    if not request.jobs:
        raise ConfigError("-m: a setting has no value to try, so there is no job")
    folder = request.folder
    wanted = without_repeats(request.jobs, request.swept)
    line = command.get()
    jobs = plan(request.settings_of, wanted, request.swept, folder, job_options(line))
    if request.dry_run:
        list_jobs(jobs, Index(folder))
        return
    with locked(folder):
        index = Index(folder)
        for job in jobs:
            files.refuse_links(index.log(job.name), *index.inside(job.run))
        due = enter(jobs, index, request.retry_failed)
        index.write(RUNNING, command=command_text(line), keys=request.swept)
        done = f", {len(jobs) - len(due)} of them done before" if len(due) < len(jobs) else ""
        log.info(f"{folder}: {counted(len(jobs), 'job')}{done}")
        warn_of_split_groups(due)
        board = board_for(index.entries, {job.name: job.run for job in jobs})
        try:
            complete = not due or run_jobs(due, index, board, backend)
        except Exception:
            break_off(due, index)
            raise
        entries = [index.entries[job.name] for job in jobs]
        failed = [entry for entry in entries if entry.state in (FAILED, KILLED)]
        complete = complete and not any(entry.state == INTERRUPTED for entry in entries)
        unwritten = None
        try:
            index.write(INTERRUPTED if not complete else FAILED if failed else FINISHED)
        except UserError as error:  # the run folders hold the same, and the tables are due
            unwritten = error
        show_results([RunFolder(job.run) for job in jobs if is_run(job.run)], request.swept)
        report(entries, failed, index, {job.name for job in due})
    if unwritten is not None and (failed or not complete):
        log.warning(str(unwritten))
    if not complete:
        log.info("interrupted; the same command resumes")
        raise KeyboardInterrupt
    if failed:
        raise RunFailedError(f"{counted(len(failed), 'job')} failed")
    if unwritten is not None:
        raise unwritten


def break_off(jobs: Sequence[SweepJob], index: Index) -> None:
    """Enter that the sweep failed, and how the jobs were left that had begun; as far as it goes."""
    for job in jobs:
        entry = index.entries[job.name]
        if entry.state == RUNNING:
            state = job_state(job, entry)
            entry.state = INTERRUPTED if state == RUNNING else state
    with suppress(UserError):
        index.write(FAILED)


def run_jobs(jobs: Sequence[SweepJob], index: Index, board: Board, backend: Backend) -> bool:
    """Run the jobs; False if a signal asked to stop before their end."""
    slots = backend.slots(jobs)
    log.info(f"{slots.count} at once; {curves(index.folder)}")
    grouped = [[job] for job in jobs]
    if backend.groups is not None:
        grouped = backend.groups(jobs, slots.count)
    with board:
        scheduler = Scheduler(
            index, backend.starter, slots, board, process_arguments, backend.grace
        )
        return scheduler.run(grouped)


def process_arguments(jobs: Sequence[SweepJob]) -> Sequence[str]:
    """The arguments of the `gan-train` that runs a group of jobs."""
    if len(jobs) == 1:
        return jobs[0].arguments
    return ["--jobs", json.dumps([list(job.arguments) for job in jobs])]


def job_options(line: Command) -> list[str]:
    """The options of the command line that each job is given beside its overrides."""
    hydra = []
    for override in line.overrides:
        key, _ = split(override)
        if key.startswith("hydra") and not key.startswith(OWN):
            hydra.append(override)
    return [*line.sources, *hydra]


def command_text(line: Command) -> str:
    """The command of the sweep, for a shell."""
    return shell_command("gan-train", *line.sources, "-m", *line.overrides)


def curves(folder: Path) -> str:
    """The command that shows the curves of all jobs."""
    return shell_command("gan-board", folder)


def show_results(runs: Sequence[RunFolder], swept: Sequence[str]) -> None:
    """Print the results of each data set: best first, means and deviations over seeds.

    Args:
        runs: of the sweep.
        swept: keys that take several values.
    """
    from gan_cli.reporting.findings import find
    from gan_cli.reporting.terminal import ResultsTable, advised

    try:
        found = find([read(run) for run in runs], keys=swept)
    except UserError as error:
        log.warning(f"no results are shown: {error}")
        return
    for one in found:
        if len(found) > 1:
            screen().print(one.data, style="bold")
        screen().print(
            ResultsTable(one, deviation=True, most=MOST_LINES), *advised(one), crop=False
        )


def report(
    entries: Sequence[JobEntry], failed: Sequence[JobEntry], index: Index, due: set[str]
) -> None:
    """Print how many jobs finished, the commands for their results, and which failed."""
    finished = sum(entry.state == FINISHED for entry in entries)
    log.info(f"{finished} of {counted(len(entries), 'job')} finished")
    log.info(f"  report    {shell_command('gan-report', index.folder)}")
    log.info(f"  curves    {curves(index.folder)}")
    if failed:
        screen().print(failures(failed, index.logs))
        if before := [entry for entry in failed if entry.name not in due]:
            log.info(f"{len(before)} failed before; sweep.retry_failed=true runs them again")


def list_jobs(jobs: Sequence[SweepJob], index: Index) -> None:
    """List the jobs on stdout: name, state and overrides."""
    from rich.table import Table
    from rich.text import Text

    out = clean_console(10 * PIPED_WIDTH)  # a job stays on its line
    out.print(f"{index.folder}: {counted(len(jobs), 'job')}", soft_wrap=True, highlight=False)
    table = Table(box=None)
    for name in ("job", "state", "overrides"):
        table.add_column(name)
    for job in jobs:
        entry = index.entries.get(job.name) or JobEntry(job.name, job.overrides, "")
        overrides = shell_command(*identity(job.overrides))
        table.add_row(job.name, job_state(job, entry), Text(overrides))
    out.print(table)


def screen() -> Console:
    """The console of tables, stderr."""
    found = console()
    if not found.is_terminal:
        found.width = PIPED_WIDTH
    return found


def local_starter(ranks: int, fork: bool) -> Starter:
    """The starter of jobs on this machine: by forks where that is wanted and possible.

    Raises:
        ConfigError: `ranks` is below 1.
    """
    if ranks < 1:
        raise ConfigError(f"hydra.launcher.ranks = {ranks}: must be 1 or more")
    if ranks == 1 and fork and possible():
        return ForkStarter()
    return SpawnStarter(*training(ranks))
