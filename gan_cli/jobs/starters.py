"""Starting a program as a process of its own, which ends when its starter does."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gan_cli.files import appending, cannot_write
from gan_cli.jobs.processes import LOGGED, command


class Process(Protocol):
    """A program that was started."""

    def poll(self) -> int | None:
        """The exit status, None while it runs; minus the signal's number where one ended it."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGTERM asks to stop, SIGKILL does not ask. Nothing if it has ended."""
        ...


class Starter(Protocol):
    """Starts programs, somewhere."""

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start one; what it says goes behind what is in `log`.

        Raises:
            UserError: it cannot be started.
        """
        ...

    def wakes(self) -> Sequence[int]:
        """File descriptors that can be read when there is news of a process."""
        ...

    def close(self) -> None:
        """Nothing more will be started, and all that was has ended."""
        ...


class Spawner:
    """Runs `module` with further arguments, as an ordinary process in a session of its own.

    Ctrl-C in the terminal reaches the starter alone, which passes on what it wants.

    Args:
        module: of Python.
        first: arguments that go before those of each start.
    """

    def __init__(self, module: str = "gan_cli.commands.train", first: Sequence[str] = ()) -> None:
        self.module, self.first = module, tuple(first)

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Spawned:
        """As `Starter.start`."""
        try:
            with os.fdopen(appending(log), "ab") as file:
                return Spawned(
                    subprocess.Popen(
                        command(self.module, [*self.first, *arguments]),
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env={**environment, **LOGGED},
                        start_new_session=True,
                    )
                )
        except OSError as cause:
            raise cannot_write(log, cause) from cause

    def wakes(self) -> Sequence[int]:
        """None: the end of a child is told by SIGCHLD."""
        return ()

    def close(self) -> None:
        """Nothing to do."""


class Spawned:
    """A process of `Spawner`."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen

    def poll(self) -> int | None:
        return self.popen.poll()

    def send(self, number: signal.Signals) -> None:
        if self.popen.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:  # with all that it started
                os.killpg(self.popen.pid, number)
            else:
                self.popen.send_signal(number)
