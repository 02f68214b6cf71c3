"""The scheduler of a sweep: starts jobs in free slots, records how they end, stops them all."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket, socketpair

from gan_cli.errors import CheckpointError, UserError
from gan_cli.exits import DONE
from gan_cli.exits import INTERRUPTED as ASKED_TO_STOP
from gan_cli.jobs.processes import GRACE, Process, Starter, Supervisor, killed_by, last_line
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING, UNKNOWN, RunFolder
from gan_cli.signals import KILL, STOPS, TORCHRUN, handled
from gan_cli.sweeps.board import Board
from gan_cli.sweeps.index import Index
from gan_cli.sweeps.plan import SweepJob
from gan_cli.sweeps.slots import Slot, Slots

log = logging.getLogger(__name__)
LOOK = 0.25  # seconds between two looks at the processes, unless one has ended
REDRAW = 1.0  # seconds between two looks into the run folders


@dataclass
class Running:
    """Jobs that one process runs: one, or several that are trained together."""

    jobs: Sequence[SweepJob]
    process: Process
    slot: Slot
    log: Path


class Scheduler:
    """Runs jobs until all have ended or a signal asks to stop.

    Args:
        index: of the sweep; every change is saved there.
        starter: of the processes.
        slots: places for them.
        board: shows every change.
        arguments: of the process that runs some jobs.
        grace: seconds that a stopped job has to save its state.
    """

    def __init__(
        self,
        index: Index,
        starter: Starter,
        slots: Slots,
        board: Board,
        arguments: Callable[[Sequence[SweepJob]], Sequence[str]],
        grace: float = GRACE,
    ) -> None:
        self.index, self.slots, self.board, self.arguments = index, slots, board, arguments
        self.supervisor = Supervisor(starter, grace)
        self._running: list[Running] = []
        self._warned = False
        self._begun = self._shown = time.monotonic()

    def run(self, groups: Sequence[Sequence[SweepJob]]) -> bool:
        """Run the groups of jobs, one process each; False if a signal asked to stop before."""
        waiting = deque(groups)
        with self._signals() as woken:
            try:
                while (self._running or waiting) and not self.supervisor.asked:
                    self._fill(waiting)
                    self._look(woken)
                if self._running:
                    self._stop(woken)
                return not waiting and not self.supervisor.asked
            finally:
                self.supervisor.stop()  # leave no process behind, whatever went wrong here
                self.supervisor.starter.close()

    @contextmanager
    def _signals(self) -> Iterator[socket]:
        """Count the signals that ask to stop; yields a socket readable once any has come."""

        def ask(number: int, frame: object) -> None:
            if not self.supervisor.asked or number == signal.SIGINT:
                self.supervisor.asked += 1

        reading, writing = socketpair()  # a pipe would not do on Windows
        writing.setblocking(False)
        child = getattr(signal, "SIGCHLD", None)
        with reading, writing:
            before_wake = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
            before_child = None if child is None else signal.signal(child, lambda *_: None)
            try:
                with handled(ask):
                    yield reading
            finally:
                if child is not None:
                    signal.signal(child, before_child)
                signal.set_wakeup_fd(before_wake)

    def _fill(self, waiting: deque[Sequence[SweepJob]]) -> None:
        for _ in range(len(waiting)):
            slot = self.slots.take()
            if slot is None:
                return
            jobs = waiting.popleft()
            if self._in_use(jobs):
                self.slots.release(slot)
                waiting.append(jobs)
                continue
            self._start(jobs, slot)

    def _in_use(self, jobs: Sequence[SweepJob]) -> bool:
        """Whether another process, such as an earlier sweep's last one, still has the folders."""
        if time.monotonic() - self._begun > self.supervisor.grace:
            return False  # the job itself will name it
        return any(RunFolder(job.run).in_use() for job in jobs)

    def _start(self, jobs: Sequence[SweepJob], slot: Slot) -> None:
        own = any(job.settings.runtime.threads is not None for job in jobs)
        environment = self.slots.environment(slot, os.environ, own)
        # torchrun's patience with the processes that it was asked to stop
        patience = str(max(1, round(self.supervisor.grace)))
        environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", patience)
        environment.setdefault("PET_SIGNALS_TO_HANDLE", TORCHRUN)
        path = self.index.log(jobs[0].name)
        for job in jobs:
            self.index.entries[job.name].begin()
            self.board.started(self.index.entries[job.name])
        try:
            process = self.supervisor.start(self.arguments(jobs), path, environment)
        except UserError as error:
            self.slots.release(slot)
            for job in jobs:
                self._end(job, path, FAILED, None, str(error))
        else:
            self._running.append(Running(jobs, process, slot, path))
        self._save()

    def _look(self, woken: socket) -> None:
        """Wait a moment, or until a process ends; then record what has changed."""
        ready, _, _ = select.select([woken, *self.supervisor.starter.wakes()], [], [], LOOK)
        if woken in ready:
            woken.recv(4096)
        self._collect()
        if time.monotonic() - self._shown >= REDRAW:
            self._shown = time.monotonic()
            self.board.show([job.name for one in self._running for job in one.jobs])

    def _collect(self) -> None:
        """Record the jobs whose process has ended."""
        ended = [(one, one.process.poll()) for one in self._running]
        asked = self.supervisor.asked > 0
        for one, status in ended:
            if status is None:
                continue
            self._running.remove(one)
            self.slots.release(one.slot)
            for job in one.jobs:
                alone = len(one.jobs) == 1
                state, error = end_state(job, status, one.log, alone, asked)
                self._end(job, one.log, state, status, error)
            self._save()

    def _end(
        self, job: SweepJob, path: Path, state: str, status: int | None, error: str | None
    ) -> None:
        entry = self.index.entries[job.name]
        entry.end(state, status, error)
        self.board.ended(entry, path)

    def _save(self) -> None:
        """Write the index; the run folders hold the same, so a full disk is no reason to stop."""
        try:
            self.index.write(RUNNING)
        except UserError as error:
            if not self._warned:
                log.warning(str(error))
            self._warned = True

    def _stop(self, woken: socket) -> None:
        log.info("stopping: jobs save their state; Ctrl-C again ends them without saving")
        self.supervisor.stop(lambda: self._look(woken))
        self._collect()
        if left := ", ".join(job.name for one in self._running for job in one.jobs):
            log.warning(f"gave up waiting, may still be running: {left}")


def end_state(
    job: SweepJob, status: int, log: Path, alone: bool, asked: bool = False
) -> tuple[str, str | None]:
    """The state of a job whose process ended with `status`, and the reason if it failed.

    Args:
        job: that has ended.
        status: exit status of its process.
        log: of the process.
        alone: the process ran no other job, so that its status is the job's.
        asked: all jobs had been asked to stop, at which torchrun exits as for a failure.
    """
    try:
        found = RunFolder(job.run).read_status()
    except CheckpointError as cause:
        found = {"status": UNKNOWN, "error": str(cause)}
    state, error = found["status"], found.get("error")
    if status == DONE or (not alone and state == FINISHED):
        return FINISHED, None
    if -status in STOPS:  # before it could handle the signal
        return INTERRUPTED, None
    if status < 0:
        if not alone and state in (INTERRUPTED, FAILED):
            return state, error
        if asked and -status == KILL:
            return KILLED, "killed before its state was saved: Ctrl-C again, or it took too long"
        return KILLED, killed_by(-status)
    if not alone and state == FAILED:
        return FAILED, error
    stopped = (INTERRUPTED, UNKNOWN) if asked else () if alone else (INTERRUPTED,)
    if status == ASKED_TO_STOP or state in stopped:
        return INTERRUPTED, None
    return FAILED, (error if state == FAILED else None) or reason(log)


def reason(log: Path) -> str:
    """The last line of a log, for a process that left no reason in its run folder."""
    return last_line(log).rpartition(" (see ")[0].removeprefix("error: ")
