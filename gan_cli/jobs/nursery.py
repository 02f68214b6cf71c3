"""A process that has imported what many programs need, and becomes each of them by a fork.

`python -m gan_cli.jobs.nursery MODULE:FUNCTION IMPORT ...` reads requests and writes news,
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
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_cli.atomic import appending
from gan_cli.jobs.child import follow_parent
from gan_cli.signals import stop_signals

STDIN, STDOUT, STDERR = 0, 1, 2


class Nursery:
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
    nursery = Nursery(function, requests, news)
    for module in imports:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # pages that the collector does not touch stay shared
    nursery.serve()


if __name__ == "__main__":
    main()
