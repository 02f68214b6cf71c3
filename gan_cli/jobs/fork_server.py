"""A process that has imported what many programs need, and becomes each of them by a fork.

`python -m gan_cli.jobs.fork_server MODULE:FUNCTION IMPORT ...` reads requests and writes news,
one JSON object a line. Requests: `{"start": 3, "arguments": [...], "log": PATH, "environment":
{...}}` and `{"signal": 15, "to": 3}`. News: `{"ended": 3, "status": 0}`. At the end of its input
it asks its children to stop and waits for them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_cli.files import appending, cannot_write
from gan_cli.jobs.child import follow_parent
from gan_cli.jobs.processes import LOGGED
from gan_cli.signals import stop_signals

STDIN, STDOUT, STDERR = 0, 1, 2


class ForkServer:
    """Forks children that call `function` and end with its status."""

    def __init__(self, function: str, requests: int, news: int) -> None:
        module, _, self.name = function.partition(":")
        self.module = importlib.import_module(module)
        self.requests, self.news = requests, news
        self.children: dict[int, int] = {}  # numbers of the jobs by process
        self.before: dict[int, Any] = {}  # handlers that the children shall have
        self.wake, self.woken = os.pipe()
        os.set_blocking(self.woken, False)

    def serve(self) -> None:
        """Do what is asked until the input ends, then stop all children."""
        stops = (signal.SIGTERM, signal.SIGINT)
        # A cluster may send its warning to all processes; who started this one stops the jobs.
        for number in {signal.SIGCHLD, *stop_signals()}:
            self.before[number] = signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self.woken)
        waiting, open_ = b"", True
        while open_ or self.children:
            ready, _, _ = select.select(
                [self.wake, self.requests] if open_ else [self.wake], [], []
            )
            told = os.read(self.wake, 4096) if self.wake in ready else b""
            self.reap()
            if self.requests in ready:
                block = os.read(self.requests, 1 << 16)
                *lines, waiting = (waiting + block).split(b"\n")
                for line in lines:
                    self.do(json.loads(line))
            else:
                block = b"-"
            if open_ and (not block or set(told) & set(stops)):
                open_ = False
                for process in self.children:
                    os.kill(process, signal.SIGTERM)

    def reap(self) -> None:
        """Tell of the children that have ended."""
        while self.children:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            if process in self.children:
                self.tell(self.children.pop(process), os.waitstatus_to_exitcode(status))

    def tell(self, number: int, status: int) -> None:
        """The job has ended; nobody may be there to hear."""
        with suppress(BrokenPipeError):
            os.write(self.news, json.dumps({"ended": number, "status": status}).encode() + b"\n")

    def do(self, request: dict[str, Any]) -> None:
        """Start a job, or send it a signal."""
        if "signal" in request:
            for process, number in self.children.items():
                if number == request["to"]:
                    os.kill(process, request["signal"])
            return
        parent = os.getpid()
        process = os.fork()
        if process:
            self.children[process] = request["start"]
            return
        status = 1
        try:
            status = self.become(request, parent)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def become(self, request: dict[str, Any], parent: int) -> int:
        """In the child: be the program; its exit status."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        follow_parent()
        if os.getppid() != parent:  # it was gone before the kernel knew
            return 1
        for handle in (self.requests, self.news, self.wake, self.woken):
            os.close(handle)
        log = appending(Path(request["log"]))
        os.dup2(log, STDOUT)
        os.dup2(log, STDERR)
        os.close(log)
        os.environ.clear()
        os.environ.update(request["environment"])
        # OpenMP has read its variable already.
        if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(threads))
        sys.argv[1:] = request["arguments"]
        try:
            getattr(self.module, self.name)()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        return status


def main() -> None:
    """Be the nursery of a function, the first argument; the others are modules to import."""
    function, *imports = sys.argv[1:]
    follow_parent()
    # What is printed must not end up among the news.
    requests, news = os.dup(STDIN), os.dup(STDOUT)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, STDIN)
    os.dup2(STDERR, STDOUT)
    os.close(nothing)
    nursery = ForkServer(function, requests, news)
    for module in imports:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # pages that the collector does not touch stay shared
    nursery.serve()


if __name__ == "__main__":
    main()


TRAIN = "gan_cli.commands.train:main"
IMPORTS = (
    "hydra.core.plugins",
    "tensorboard.compat.proto.event_pb2",
    "rich.console",
    "gan_cli.config.settings",
    "gan_cli.training.run",
)
# Libraries that start threads when they are imported, which a fork would lose.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def possible() -> bool:
    """Whether a fork of a process with torch is safe here."""
    return sys.platform == "linux"


class ForkStarter:
    """A `Starter`; the process that forks is started with the first program."""

    def __init__(self, function: str = TRAIN, imports: Sequence[str] = IMPORTS) -> None:
        self.function, self.imports = function, tuple(imports)
        self._nursery: subprocess.Popen[bytes] | None = None
        self._started = 0
        self._running: dict[int, ForkedProcess] = {}
        self._heard = b""

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> ForkedProcess:
        """As `Starter.start`."""
        try:
            os.close(appending(log))
        except OSError as cause:
            raise cannot_write(log, cause) from cause
        if self._nursery is None or self._nursery.poll() is not None:
            self._nursery = self._open()
        self._started += 1
        process = self._running[self._started] = ForkedProcess(self, self._started)
        self.ask(
            start=self._started,
            arguments=list(arguments),
            log=str(log.absolute()),
            environment=dict(environment),
        )
        return process

    def _open(self) -> subprocess.Popen[bytes]:
        self.listen()  # the last words of one before
        self._heard = b""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gan_cli.jobs.fork_server", self.function, *self.imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, **LOGGED},
            start_new_session=True,
        )

    def ask(self, **request: object) -> None:
        """Send a request; if nobody is there any more, `listen` finds out."""
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        with suppress(BrokenPipeError):
            self._nursery.stdin.write(json.dumps(request).encode() + b"\n")
            self._nursery.stdin.flush()

    def listen(self) -> None:
        """Hear which programs have ended; all have where the process that forks was killed."""
        while self._nursery is not None and self._nursery.stdout is not None:
            handle = self._nursery.stdout.fileno()
            os.set_blocking(handle, False)
            try:
                block = os.read(handle, 1 << 16)
            except BlockingIOError:
                return
            if not block:
                ended = self._nursery.wait()
                for process in self._running.values():
                    process.status = ended if ended < 0 else 1
                self._running.clear()
                self.close()
                return
            *lines, self._heard = (self._heard + block).split(b"\n")
            for news in map(json.loads, lines):
                self._running.pop(news["ended"]).status = news["status"]

    def wakes(self) -> Sequence[int]:
        """Where the news come."""
        nursery = self._nursery
        return () if nursery is None or nursery.stdout is None else (nursery.stdout.fileno(),)

    def close(self) -> None:
        """End the process that forks."""
        if self._nursery is None:
            return
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._nursery.wait()
        self._nursery = None


class ForkedProcess:
    """A process of `ForkStarter`."""

    def __init__(self, forker: ForkStarter, number: int) -> None:
        self.forker, self.number = forker, number
        self.status: int | None = None

    def poll(self) -> int | None:
        self.forker.listen()
        return self.status

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            self.forker.ask(signal=int(number), to=self.number)
