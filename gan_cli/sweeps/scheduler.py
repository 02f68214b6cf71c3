"""The course of a sweep: start jobs where there is room, hear how they end, stop them all."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gan_cli.errors import CheckpointError, UserError
from gan_cli.exits import DONE, INTERRUPTED
from gan_cli.jobs.processes import last_line
from gan_cli.jobs.starters import Process, Starter
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder
from gan_cli.signals import STOPS, TORCHRUN, handled
from gan_cli.sweeps.board import Watcher
from gan_cli.sweeps.index import Entry, Index
from gan_cli.sweeps.plan import SweepJob
from gan_cli.sweeps.slots import Slot, Slots


def verdict(
    job: SweepJob, status: int, log: Path, alone: bool, asked: bool = False
) -> tuple[str, str | None]:
    """The state in which a process of that exit status left a job, and the reason where it failed.

    `alone`: the process ran no other job, so that its status is the job's. `asked`: all jobs had
    been asked to stop, which torchrun answers with the status of a failure.
    """
    try:
        said = RunFolder(job.run).read_status()
    except CheckpointError as error:
        said = {"status": runs.UNKNOWN, "error": str(error)}
    if status == DONE or (not alone and said["status"] == runs.FINISHED):
        return runs.FINISHED, None
    if -status in STOPS:  # before it could listen
        return runs.INTERRUPTED, None
    if status < 0:
        if said["status"] in (runs.INTERRUPTED, runs.FAILED) and not alone:
            return said["status"], said.get("error")
        return runs.KILLED, ended_unsaved(-status, asked)
    if not alone and said["status"] == runs.FAILED:
        return runs.FAILED, said.get("error")
    stopped = (runs.INTERRUPTED, runs.UNKNOWN) if asked else () if alone else (runs.INTERRUPTED,)
    if status == INTERRUPTED or said["status"] in stopped:
        return runs.INTERRUPTED, None
    reason = said.get("error") if said["status"] == runs.FAILED else None
    return runs.FAILED, reason or said_last(log)


def said_last(log: Path) -> str:
    """Why a process ended that left no word in its run folder."""
    return last_line(log).rpartition(" (see ")[0].removeprefix("error: ")


def ended_unsaved(number: int, asked: bool) -> str:
    """Why a signal ended a process before it could save; `asked` as of `verdict`."""
    if asked and number == signal.SIGKILL:
        return "killed before its state was saved: Ctrl-C came again, or the saving took too long"
    return killed_by(number)


def killed_by(number: int) -> str:
    """What it means that a signal ended a process."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by {name}, as the operating system does where memory runs out"
    return f"killed by {name}"


log = logging.getLogger(__name__)

GRACE = 60.0  # seconds that a job has to save its state
LOOK = 0.25  # seconds between two looks, where no news come
REDRAW = 1.0  # seconds between two looks into the run folders


@dataclass
class Running:
    """Jobs that one process runs: one, or several that are trained together."""

    jobs: Sequence[SweepJob]
    process: Process
    slot: Slot
    log: Path
    watchers: list[Watcher] = field(default_factory=list)


class Observer(Protocol):
    """Shows how the sweep stands."""

    def began(self, entry: Entry) -> None:
        """A job has started, or goes on."""
        ...

    def ended(self, entry: Entry, run: Path, path: Path) -> None:
        """A job has ended, well or not; `path` is its log."""
        ...

    def show(self, watchers: dict[str, Watcher]) -> None:
        """How those that run stand now, by name."""
        ...


class Stopping:
    """The first signal asks to stop; a Ctrl-C after it no longer waits."""

    def __init__(self) -> None:
        self.asked = 0

    @contextmanager
    def installed(self) -> Iterator[int]:
        """Within it, signals only ask; gives a descriptor that can be read when one has come."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before_wake = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before_child = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            with handled(self._receive):
                yield reading
        finally:
            signal.signal(signal.SIGCHLD, before_child)
            signal.set_wakeup_fd(before_wake)
            os.close(reading)
            os.close(writing)

    def _receive(self, number: int, frame: object) -> None:
        if not self.asked or number == signal.SIGINT:
            self.asked += 1


class Scheduler:
    """Runs jobs until all have ended or a signal asks to stop.

    Args:
        index: of the sweep; every change is kept there.
        starter: of the processes.
        slots: places for them.
        board: told of everything.
        arguments: of the process that runs some jobs.
        grace: seconds that a stopped job has to save its state.
    """

    def __init__(
        self,
        index: Index,
        starter: Starter,
        slots: Slots,
        board: Observer,
        arguments: Callable[[Sequence[SweepJob]], Sequence[str]],
        grace: float = GRACE,
    ) -> None:
        self.index, self.starter, self.slots, self.board = index, starter, slots, board
        self.arguments, self.grace = arguments, grace
        self.stopping = Stopping()
        self._running: list[Running] = []
        self._kill_at: float | None = None
        self._killed_at: float | None = None
        self._warned = False
        self._begun = self._shown = time.monotonic()

    def run(self, groups: Sequence[Sequence[SweepJob]]) -> bool:
        """Run the groups of jobs, one process each; whether it came to the end of them."""
        waiting = deque(groups)
        with self.stopping.installed() as woken:
            try:
                while self._running or (waiting and not self.stopping.asked):
                    if self.stopping.asked:
                        self._stop()
                    else:
                        self._fill(waiting)
                    self._wait(woken)
                    self._collect()
                    self._show()
            finally:
                self._end_all()
                self.starter.close()
        return not waiting and not self.stopping.asked

    def _fill(self, waiting: deque[Sequence[SweepJob]]) -> None:
        for _ in range(len(waiting)):
            slot = self.slots.take()
            if slot is None:
                return
            jobs = waiting.popleft()
            if self._is_late(jobs):
                self.slots.give(slot)
                waiting.append(jobs)
                continue
            self._start(jobs, slot)

    def _is_late(self, jobs: Sequence[SweepJob]) -> bool:
        """Whether somebody, such as an earlier sweep's last process, is still in the folders."""
        if time.monotonic() - self._begun > self.grace:
            return False  # the job will say who it is
        return any(RunFolder(job.run).in_use() for job in jobs)

    def _start(self, jobs: Sequence[SweepJob], slot: Slot) -> None:
        own = any(job.settings.runtime.threads is not None for job in jobs)
        environment = self.slots.environment(slot, os.environ, own)
        # torchrun's patience with the processes that it was asked to stop
        environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(max(1, round(self.grace))))
        environment.setdefault("PET_SIGNALS_TO_HANDLE", TORCHRUN)
        path = self.index.log(jobs[0].name)
        for job in jobs:
            self.index.entries[job.name].begin()
            self.board.began(self.index.entries[job.name])
        try:
            process = self.starter.start(self.arguments(jobs), path, environment)
        except UserError as error:
            self.slots.give(slot)
            for job in jobs:
                self._end(job, path, runs.FAILED, None, str(error))
        else:
            self._running.append(
                Running(jobs, process, slot, path, [Watcher(job.run) for job in jobs])
            )
        self._keep()

    def _keep(self) -> None:
        """The run folders say the same, so that a full disk is no reason to stop."""
        try:
            self.index.write(runs.RUNNING)
        except UserError as error:
            if not self._warned:
                log.warning(str(error))
            self._warned = True

    def _wait(self, woken: int) -> None:
        ready, _, _ = select.select([woken, *self.starter.wakes()], [], [], LOOK)
        if woken in ready:
            os.read(woken, 4096)

    def _collect(self) -> None:
        ended = [(one, one.process.poll()) for one in self._running]
        for one, status in ended:
            if status is None:
                continue
            self._running.remove(one)
            self.slots.give(one.slot)
            for job in one.jobs:
                asked = self.stopping.asked > 0
                state, error = verdict(job, status, one.log, alone=len(one.jobs) == 1, asked=asked)
                self._end(job, one.log, state, status, error)
            self._keep()

    def _end(
        self, job: SweepJob, path: Path, state: str, status: int | None, error: str | None
    ) -> None:
        entry = self.index.entries[job.name]
        entry.end(state, status, error)
        self.board.ended(entry, job.run, path)

    def _stop(self) -> None:
        """Ask all once; kill them when the time is over, or at once when asked again."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self.grace
            if self._running:
                log.info("stopping: jobs save their state; Ctrl-C again ends them without saving")
            for one in self._running:
                one.process.send(signal.SIGTERM)
        elif self._killed_at is None:
            if self.stopping.asked > 1 or time.monotonic() > self._kill_at:
                self._killed_at = time.monotonic()
                self._kill()
        elif self.stopping.asked > 2 or time.monotonic() > self._killed_at + self.grace:
            left = ", ".join(job.name for one in self._running for job in one.jobs)
            log.warning(f"given up, and may still be there: {left}")
            self._running.clear()

    def _end_all(self) -> None:
        """Leave no process behind, whatever went wrong here."""
        while self._running:
            self._stop()
            time.sleep(LOOK / 5)
            self._running = [one for one in self._running if one.process.poll() is None]

    def _kill(self) -> None:
        for one in self._running:
            one.process.send(signal.SIGKILL)

    def _show(self) -> None:
        if time.monotonic() - self._shown < REDRAW:
            return
        self._shown = time.monotonic()
        shown = {}
        for one in self._running:
            for job, watcher in zip(one.jobs, one.watchers, strict=True):
                watcher.look()
                shown[job.name] = watcher
        self.board.show(shown)
