"""Processes of our commands: started, watched and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from gan_cli import files
from gan_cli.errors import UserError
from gan_cli.files import appending, cannot_write
from gan_cli.signals import KILL

TRAIN = "gan_cli.commands.train"
GRACE = 60.0  # seconds that a process has to save its state and end
KILLED = 5.0  # seconds, at least, in which a killed process is waited for
TAIL = 1 << 16  # bytes of a log that are looked at
POLL = 0.05  # seconds between two looks at a process
LOGGED = {"PYTHONIOENCODING": "utf-8"}  # for processes that write to a log, which is UTF-8


class StoppedError(Exception):
    """The work was abandoned because the whole command stops."""


class Process(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """The exit status, None while it runs; minus the signal's number if one ended it."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send SIGTERM, at which it saves its state, or SIGKILL; nothing if it has ended."""
        ...


class Starter(ABC):
    """Starts processes: here, by a fork, or on a cluster."""

    @abstractmethod
    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start a process whose output is appended to `log`.

        Raises:
            UserError: it cannot be started.
        """

    def wakes(self) -> Sequence[int]:
        """File descriptors that become readable when a process ends, where SIGCHLD is not sent."""
        return ()

    def close(self) -> None:  # noqa: B027 - few need it
        """Release what the processes needed; all have ended."""


class Spawned(subprocess.Popen[bytes]):
    """A process of `SpawnStarter`."""

    def send(self, number: signal.Signals) -> None:
        if self.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if number == KILL and hasattr(os, "killpg"):  # with all that it started
                os.killpg(self.pid, number)
            else:
                self.send_signal(number)


class SpawnStarter(Starter):
    """Runs modules as `gan_cli.jobs.child`, in sessions of their own.

    Ctrl-C in the terminal thus reaches us alone.

    Args:
        first: words before the arguments of each start; the first of all is the module.
    """

    def __init__(self, *first: str) -> None:
        self.first = first

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Spawned:
        return spawn([*self.first, *arguments], log, environment, start_new_session=True)


def spawn(words: Sequence[str], log: Path, environment: Mapping[str, str], **more: Any) -> Spawned:
    """Start a module, the first of `words`, that ends when we have ended, even by kill -9.

    Args:
        words: the module and its arguments.
        log: the output is appended to it.
        environment: of the process.
        more: further arguments of `Popen`.

    Raises:
        UserError: it cannot be started.
    """
    output = open_log(log)
    try:
        return Spawned(
            [sys.executable, "-P", "-m", "gan_cli.jobs.child", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, **LOGGED},
            **more,
        )
    except OSError as cause:
        raise UserError(f"{words[0]} cannot be started: {cause.strerror or cause}") from cause
    finally:
        os.close(output)


def training(ranks: int) -> tuple[str, ...]:
    """The module of a training, or torchrun and its options where it has several `ranks`."""
    if ranks == 1:
        return (TRAIN,)
    return ("torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", TRAIN)


class Supervisor:
    """Starts processes, and stops them together: SIGTERM, then SIGKILL to those still running.

    Args:
        starter: of the processes.
        grace: seconds between the two.

    Attributes:
        asked: how often the user has asked to stop; the second time ends the grace, the third the
            wait for what was killed.
        stopped: whether `stop` was called, after which nothing more is started.
        all_saved: whether `stop` had to kill none.
    """

    def __init__(self, starter: Starter | None = None, grace: float = GRACE) -> None:
        self.starter, self.grace = starter or SpawnStarter(), grace
        self.asked, self.stopped, self.all_saved = 0, False, True
        self._processes: list[Process] = []
        self._lock = Lock()

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start a process; see `Starter.start`.

        Raises:
            StoppedError: `stop` was called.
            UserError: it cannot be started.
        """
        with self._lock:
            if self.stopped:
                raise StoppedError
            process = self.starter.start(arguments, log, environment)
            self._processes.append(process)
        return process

    def run(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        watch: Callable[[], bool] = lambda: False,
    ) -> int:
        """Run a process to its end; its exit status.

        Args:
            arguments: as of `start`, like the next two.
            log: appended to.
            environment: of the process.
            watch: called while it runs; the process is stopped once this returns True.

        Raises:
            StoppedError: `stop` was called before or meanwhile.
            UserError: it cannot be started.
        """
        process = self.start(arguments, log, environment)
        try:
            while (status := process.poll()) is None:
                if watch():
                    self._end([process])
                else:
                    time.sleep(POLL)
        finally:
            self._end([process])  # `watch` failed
        if self.stopped:
            raise StoppedError
        return status

    def stop(self, step: Callable[[], object] = lambda: time.sleep(POLL)) -> None:
        """Let all processes save their state and end, or kill them; `step` is called meanwhile.

        Ctrl-C, as KeyboardInterrupt, asks once more.
        """
        with self._lock:
            self.stopped = True
        self.asked = max(1, self.asked)
        self.all_saved = self._end(self._processes, step)
        self._processes = []

    def _end(
        self,
        processes: Sequence[Process],
        step: Callable[[], object] = lambda: time.sleep(POLL),
    ) -> bool:
        """Ask them to end, then kill them; whether none had to be killed."""
        left = [process for process in processes if process.poll() is None]
        for number, most, seconds in (
            (signal.SIGTERM, 1, self.grace),
            (KILL, 2, max(self.grace, KILLED)),
        ):
            try:
                for process in left:
                    process.send(number)
                until = time.monotonic() + seconds
                while left and self.asked <= most and time.monotonic() < until:
                    step()
                    left = [process for process in left if process.poll() is None]
            except KeyboardInterrupt:
                self.asked = most + 1
            if not left:
                return most == 1
        return False


def open_log(path: Path) -> int:
    """A file descriptor that appends to a log, which is created where missing.

    Raises:
        UserError: it cannot be written.
    """
    try:
        return appending(path)
    except OSError as cause:
        raise cannot_write(path, cause) from cause


def last_line(log: Path) -> str:
    """The last line of a process's output: for our commands, the reason why it ended.

    Without any output it says so, or that the disk is full, which leaves no room for a log either.
    """
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        lines = file.read(TAIL).decode(errors="replace").splitlines()
    written = [line.strip() for line in lines if line.strip()]
    errors = [line for line in written if line.startswith("error: ")]  # torchrun writes more below
    if not written:
        room = f"{files.NO_ROOM}; {files.ADVICE}"
        written = [f"no output: {room}" if files.full(log.parent) else "no output"]
    return f"{[*written, *errors][-1]} (see {log})"


def killed_by(number: int) -> str:
    """The reason why a process ended that a signal killed."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    memory = ", as the operating system does where memory runs out"
    return f"killed by {name}{memory if number == KILL else ''}"
