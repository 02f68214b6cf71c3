"""A sweep from begin to end: plan it, index it, run it, tell how it went."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli import files
from gan_cli.config.command_line import Command, split
from gan_cli.config.schema import Settings
from gan_cli.console import PIPED_WIDTH, clean_console, console, setup_logging
from gan_cli.device import cores
from gan_cli.errors import ConfigError
from gan_cli.exits import RunFailedError
from gan_cli.formatting import counted, shell_command
from gan_cli.jobs.fork_server import ForkStarter, possible
from gan_cli.jobs.starters import Spawner, Starter
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING
from gan_cli.sweeps.board import board_for, failures
from gan_cli.sweeps.index import Entry, Index, locked
from gan_cli.sweeps.plan import SweepJob, enter, once, parted, plan, standing, sweep_name, telling
from gan_cli.sweeps.scheduler import GRACE, Scheduler
from gan_cli.sweeps.slots import Slots, at_once, gpus

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)
PASSED = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep")
PASSED += ("hydra.mode",)  # what is about the sweep and not about its jobs
MOST_LINES = 60  # of the table at the end

command: ContextVar[Command] = ContextVar("command")  # the line that was typed


@dataclass(frozen=True)
class Request:
    """What a launcher wants to be run.

    Attributes:
        settings_of: composes and validates a job's overrides.
        jobs: the overrides of each, as Hydra gives them.
        fixed: overrides that all share.
        swept: keys that take several values.
        root: folder of runs.
        folder: the sweep's, or None.
        name: of its folder below `root`, or None.
        retry_failed: whether to run again what failed.
        dry_run: only show the jobs.
    """

    settings_of: Callable[[Sequence[str]], Settings]
    jobs: Sequence[Sequence[str]]
    fixed: Sequence[str]
    swept: Sequence[str]
    root: Path
    folder: Path | None = None
    name: str | None = None
    retry_failed: bool = False
    dry_run: bool = False

    @property
    def place(self) -> Path:
        """The sweep's folder."""
        if self.folder is not None:
            return self.folder
        return self.root / "sweeps" / (self.name or sweep_name(self.fixed, self.swept))


def apart(jobs: Sequence[SweepJob], slots: Slots) -> Sequence[Sequence[SweepJob]]:
    """A process for each job."""
    return [[job] for job in jobs]


@dataclass(frozen=True)
class Backend:
    """How jobs are run.

    Attributes:
        starter: of the processes.
        slots: places for this many jobs with these settings.
        groups: which of them share a process, in those places.
        grace: seconds that a stopped job has to save its state.
    """

    starter: Starter
    slots: Callable[[Sequence[SweepJob]], Slots]
    groups: Callable[[Sequence[SweepJob], Slots], Sequence[Sequence[SweepJob]]] = apart
    grace: float = GRACE


def run(request: Request, means: Backend) -> None:
    """Run a sweep, or what is left of it.

    Raises:
        ConfigError: nothing was started, and the message names the jobs and their faults.
        CheckpointError: likewise; another sweep is in the folder, or writing would lead out of it.
        RunFailedError: jobs failed, and the user was told.
        KeyboardInterrupt: a signal asked to stop, and all was saved.
    """
    setup_logging(None)
    if not request.jobs:
        raise ConfigError("-m: a setting has no value to try, so there is no job")
    place = request.place
    line = command.get()
    wanted = once(request.jobs, request.swept)
    jobs = plan(request.settings_of, wanted, request.swept, place, options(line))
    if request.dry_run:
        show(jobs, Index(place))
        return
    with locked(place):
        index = Index(place)
        for job in jobs:
            files.refuse_links(index.log(job.name), *index.inside(job.run))
        due = enter(jobs, index, request.retry_failed)
        index.write(RUNNING, command=typed(line), keys=request.swept)
        done = f", {len(jobs) - len(due)} of them done before" if len(due) < len(jobs) else ""
        log.info(f"{place}: {counted(len(jobs), 'job')}{done}")
        if rounded := parted(due):
            log.warning(rounded)
        board = board_for(index.entries, {job.name: job.run for job in jobs})
        if due:
            slots = means.slots(due)
            log.info(f"{slots.count} at once; {watching(place)}")
            with board:
                course = Scheduler(index, means.starter, slots, board, arguments, means.grace)
                whole = course.run(means.groups(due, slots))
        else:
            whole = True
        entries = [index.entries[job.name] for job in jobs]
        failed = [entry for entry in entries if entry.state in (FAILED, KILLED)]
        whole = whole and not any(entry.state == INTERRUPTED for entry in entries)
        index.write(FINISHED if whole and not failed else FAILED if whole else INTERRUPTED)
        screen().print(board.table(MOST_LINES))
        tell(entries, failed, place, index.logs, {job.name for job in due})
    if not whole:
        log.info("interrupted; the same command resumes")
        raise KeyboardInterrupt
    if failed:
        raise RunFailedError(f"{counted(len(failed), 'job')} failed")


def arguments(jobs: Sequence[SweepJob]) -> Sequence[str]:
    """Of the process that runs a group of jobs."""
    if len(jobs) == 1:
        return jobs[0].arguments
    return ["--jobs", json.dumps([list(job.arguments) for job in jobs])]


def typed(line: Command) -> str:
    """The command line, for a shell."""
    return shell_command("gan-train", *given(line), "-m", *line.overrides)


def watching(place: Path) -> str:
    """The command that shows the curves of all jobs."""
    return shell_command("tensorboard", "--logdir", place)


def given(line: Command) -> list[str]:
    """Where configs and code of the user's own are."""
    found = [f"--config-dir={folder}" for folder in line.config_dirs]
    return found + [f"--trust={module}" for module in line.trust]


def options(line: Command) -> list[str]:
    """What of the command line each job is given beside its overrides."""
    found = given(line)
    for override in line.overrides:
        key, _ = split(override)
        if key.startswith("hydra") and not key.startswith(PASSED):
            found.append(override)
    return found


def tell(
    entries: Sequence[Entry], failed: Sequence[Entry], place: Path, logs: Path, due: set[str]
) -> None:
    """How the sweep ended."""
    finished = sum(entry.state == FINISHED for entry in entries)
    log.info(f"{finished} of {counted(len(entries), 'job')} finished; {watching(place)}")
    if failed:
        screen().print(failures(failed, logs))
        if before := [entry for entry in failed if entry.name not in due]:
            log.info(f"{len(before)} failed before; sweep.retry_failed=true runs them again")


def show(jobs: Sequence[SweepJob], index: Index) -> None:
    """List the jobs on stdout: what each is, where, and how it stands."""
    from rich.table import Table
    from rich.text import Text

    out = clean_console(10 * PIPED_WIDTH)  # a job stays on its line
    out.print(f"{index.folder}: {counted(len(jobs), 'job')}", soft_wrap=True, highlight=False)
    table = Table(box=None)
    for name in ("job", "state", "overrides"):
        table.add_column(name)
    for job in jobs:
        entry = index.entries.get(job.name) or Entry(job.name, job.overrides, "")
        table.add_row(job.name, standing(job, entry), Text(shell_command(*telling(job.overrides))))
    out.print(table)


def screen() -> Console:
    """Where tables go: stderr, of a width that suits it."""
    found = console()
    if not found.is_terminal:
        found.width = PIPED_WIDTH
    return found


TORCHRUN = ("--standalone", "--nproc-per-node")


def starter_for(ranks: int, fork: bool) -> Starter:
    """Of jobs with so many processes each, forked where that can be.

    Raises:
        ConfigError: there cannot be so few.
    """
    if ranks < 1:
        raise ConfigError(f"hydra.launcher.ranks = {ranks}: must be 1 or more")
    if ranks > 1:
        return Spawner(
            "torch.distributed.run", [*TORCHRUN, str(ranks), "-m", "gan_cli.commands.train"]
        )
    return ForkStarter() if fork and possible() else Spawner()


def slots_for(jobs: Sequence[SweepJob], n_jobs: int | None, ranks: int) -> Slots:
    """Places for these jobs.

    Raises:
        ConfigError: there cannot be so few.
    """
    if n_jobs is not None and n_jobs < 1:
        raise ConfigError(f"hydra.launcher.n_jobs = {n_jobs}: must be 1 or more")
    # Who names a GPU, such as cuda:1, gets that one.
    free = all(job.settings.runtime.device in ("auto", "cuda") for job in jobs)
    devices = gpus(os.environ) if free else []
    if 0 < len(devices) < ranks:
        raise ConfigError(
            f"hydra.launcher.ranks = {ranks}: there are {len(devices)} GPUs; each rank needs one"
        )
    return Slots(at_once(n_jobs, len(jobs), devices, ranks), devices, ranks, cores() // ranks)
