"""Processes that are started, watched and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from gan_cli.files import appending

GRACE = 60.0  # seconds that a stopped training has to save its state
LOGGED = {"PYTHONIOENCODING": "utf-8"}  # of processes that write into a log, which is UTF-8
POLL = 0.1  # seconds between two looks at a watched process


class StoppedError(Exception):
    """Work was given up because the whole command ends."""


class Children:
    """The processes that were started here; `stop` ends them all and lets no new one begin.

    Each has its own session: Ctrl-C comes to us alone, and we pass it on.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock, self._stopped = Lock(), False
        self.all_saved = True  # whether none had to be killed by `stop`

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def run(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        watch: Callable[[], bool] | None = None,
    ) -> int:
        """The exit status, negative for a signal; what the process says goes behind `log`.

        Args:
            arguments: the command.
            log: a file that is appended to.
            environment: of the process.
            watch: called now and then while it runs; once it says True, the process is asked to
                save its state and stop, and killed if it has not ended after `GRACE` seconds.

        Raises:
            StoppedError: `stop` was called before or meanwhile.
        """
        with os.fdopen(appending(log), "ab") as file, self._lock:
            if self._stopped:
                raise StoppedError
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**environment, **LOGGED},
                start_new_session=True,
            )
            self._running.add(child)
        try:
            status = child.wait() if watch is None else _wait(child, watch)
        finally:
            if child.poll() is None:  # the watch broke
                _end([child], GRACE)
            with self._lock:
                self._running.discard(child)
        if self._stopped:
            raise StoppedError
        return status

    def stop(self, grace: float = GRACE) -> None:
        """Have all save their state and end.

        What has not ended after `grace` seconds, or at a Ctrl-C meanwhile, is killed.
        """
        with self._lock:
            self._stopped = True
            left = list(self._running)
        self.all_saved = _end(left, grace)


def _wait(child: subprocess.Popen[bytes], watch: Callable[[], bool]) -> int:
    while True:
        try:
            return child.wait(POLL)
        except subprocess.TimeoutExpired:
            if watch():
                _end([child], GRACE)


def _end(children: Sequence[subprocess.Popen[bytes]], grace: float) -> bool:
    """Ask all at once, then wait, and kill those that stay; whether none was killed."""
    try:
        for child in children:
            _send(child, signal.SIGTERM)
        until = time.monotonic() + grace
        for child in children:
            child.wait(max(0.0, until - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for child in children:
            _send(child, signal.SIGKILL)
            child.wait()
        return False
    return True


def _send(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return  # it has just ended


def command(module: str, arguments: Sequence[str]) -> list[str]:
    """One of our entry points as a command that ends when this process is gone, even by kill -9."""
    return [sys.executable, "-P", "-m", "gan_cli.jobs.child", module, *arguments]


def last_line(log: Path) -> str:
    """What a process said last, which for our programs is the reason why it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]  # torchrun says more behind it
    return f"{[*said, *errors][-1] if said else 'it said nothing'} (see {log})"
