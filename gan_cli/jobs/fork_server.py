"""Fork server: a process that has imported torch and forks one child per job. Linux only.

`multiprocessing`'s own would not do (Python 3.11 to 3.13). Its children hold the pipe that keeps it
alive, so that both outlive a launcher that was killed; it stays in the launcher's session, where
Ctrl-C and a closed terminal reach it; it lets the working directory shadow modules; and its
`Process.start` blocks, deaf to Ctrl-C, until all is imported.

`python -m gan_cli.jobs.fork_server HANDLE MODULE:FUNCTION IMPORT ...` gets requests through a
`Connection`, ("start", number, arguments, log, environment) or ("signal", number, signal), and
answers with (number, exit status) when a child ends. When the connection is closed it asks its
children to stop and waits for them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gan_cli.files import appending
from gan_cli.jobs.child import follow_parent
from gan_cli.jobs.processes import LOGGED, TRAIN, Starter, open_log
from gan_cli.signals import stop_signals

FUNCTION = f"{TRAIN}:main"
IMPORTS = (
    "hydra.core.plugins",
    "tensorboard.compat.proto.event_pb2",
    "rich.console",
    "gan_cli.config.settings",
    "gan_cli.training.run",
    "gan_cli.training.evaluator",
)
# Libraries that start threads when they are imported, which a fork would lose.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ForkServer:
    """Forks children that call `function` and end with its status."""

    def __init__(self, function: Callable[[], object], launcher: Connection) -> None:
        self.function, self.launcher = function, launcher
        self.numbers: dict[int, int] = {}  # of the children, by process ID
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.wake, False)
        # A cluster may warn all processes of a job; the launcher stops ours.
        handled = {signal.SIGCHLD, *stop_signals()}
        self.before = {number: signal.signal(number, lambda *_: None) for number in handled}
        signal.set_wakeup_fd(self.wake)

    def serve(self) -> None:
        """Answer requests until the launcher is gone or a signal asks to stop."""
        listening = True
        while listening or self.numbers:
            ready = wait([self.woken, self.launcher] if listening else [self.woken])
            received = os.read(self.woken, 4096) if self.woken in ready else b""
            self.reap()
            stop = bool({signal.SIGTERM, signal.SIGINT} & set(received))
            if self.launcher in ready:
                try:
                    self.answer(*self.launcher.recv())
                except (EOFError, ConnectionError):
                    stop = True
            if stop and listening:
                listening = False
                self.signal_children(signal.SIGTERM, set(self.numbers.values()))

    def reap(self) -> None:
        """Send the exit statuses of the children that have ended."""
        while self.numbers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            if process in self.numbers:
                with suppress(OSError):  # the launcher is gone
                    code = os.waitstatus_to_exitcode(status)
                    self.launcher.send((self.numbers.pop(process), code))

    def answer(self, request: str, number: int, *details: Any) -> None:
        """Start a job, or send a signal to it."""
        if request == "signal":
            self.signal_children(details[0], {number})
            return
        server = os.getpid()
        # A signal to a child that still has the server's handlers would be lost, and wake the
        # server, which would take it for its own: it waits until the child has handlers of its own.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, self.before)
        process = os.fork()
        if process:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            self.numbers[process] = number
            return
        status = 1
        try:
            status = self.become(server, *details)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def signal_children(self, number: int, jobs: set[int]) -> None:
        for process, job in self.numbers.items():
            if job in jobs:
                os.kill(process, number)

    def become(
        self, server: int, arguments: list[str], log: str, environment: dict[str, str]
    ) -> int:
        """In the child: call the function; the exit status."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.before)
        follow_parent()
        if os.getppid() != server:  # it ended before the kernel had been asked
            return 1
        self.launcher.close()
        os.close(self.wake)
        os.close(self.woken)
        output = appending(Path(log))
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(environment)
        # OpenMP has read its variable already.
        if (threads := environment.get("OMP_NUM_THREADS", "")).isdigit() and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(threads))
        sys.argv[1:] = arguments
        try:
            self.function()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        return status


def main() -> None:
    """Run the fork server."""
    handle, function, *imports = sys.argv[1:]
    follow_parent()
    os.dup2(2, 1)  # stdout is the launcher's
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(module), name)
    for module in imports:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # pages that the collector does not touch stay shared
    ForkServer(found, Connection(int(handle))).serve()


class ForkedProcess:
    """A process of `ForkStarter`."""

    def __init__(self, starter: ForkStarter, number: int) -> None:
        self.starter, self.number = starter, number
        self.status: int | None = None

    def poll(self) -> int | None:
        self.starter.listen()
        return self.status

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            self.starter.request("signal", self.number, int(number))


class ForkStarter(Starter):
    """Starts processes by a fork server, which is started with the first of them.

    Args:
        function: as MODULE:FUNCTION, called in each process.
        imports: modules that the server imports besides.
    """

    def __init__(self, function: str = FUNCTION, imports: Sequence[str] = IMPORTS) -> None:
        self.words = [function, *imports]
        self.server: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._numbers = itertools.count(1)
        self._running: dict[int, ForkedProcess] = {}

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> ForkedProcess:
        os.close(open_log(log))
        self.listen()
        if self.server is None:
            self._open()
        process = ForkedProcess(self, next(self._numbers))
        self._running[process.number] = process
        place = str(log.absolute())
        self.request("start", process.number, list(arguments), place, dict(environment))
        return process

    def _open(self) -> None:
        self._connection, server = Pipe()
        with server:
            self.server = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(server.fileno()), *self.words],
                pass_fds=[server.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD, **LOGGED},
                start_new_session=True,
            )

    def request(self, *words: object) -> None:
        """Send a request; where the server is gone, `listen` will notice."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send(words)

    def listen(self) -> None:
        """Receive exit statuses; where the server was killed, its children are lost with it."""
        try:
            while self._connection is not None and self._connection.poll():
                number, status = self._connection.recv()
                self._running.pop(number).status = status
        except (EOFError, ConnectionError):
            assert self.server is not None
            ended = self.server.wait()
            for process in self._running.values():
                process.status = ended if ended < 0 else 1
            self._running.clear()
            self.close()

    def wakes(self) -> Sequence[int]:
        return () if self._connection is None else (self._connection.fileno(),)

    def close(self) -> None:
        if self._connection is not None and self.server is not None:
            self._connection.close()
            self.server.wait()
            self._connection = self.server = None


def possible() -> bool:
    """Whether a process with torch can be forked safely on this system."""
    return sys.platform == "linux"


if __name__ == "__main__":
    main()
