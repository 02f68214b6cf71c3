"""Starting programs by a fork of a process that has imported torch once: half a start saved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gan_cli.atomic import appending, cannot_write
from gan_cli.jobs.processes import LOGGED

TRAIN = "gan_cli.train:main"
IMPORTS = (
    "hydra.core.plugins",
    "tensorboard.compat.proto.event_pb2",
    "rich.console",
    "gan_cli.config.reading",
    "gan_cli.training.run",
)
# Libraries that start threads when they are imported, which a fork would lose.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def possible() -> bool:
    """Whether a fork of a process with torch is safe here."""
    return sys.platform == "linux"


class Forker:
    """A `Starter`; the process that forks is started with the first program."""

    def __init__(self, function: str = TRAIN, imports: Sequence[str] = IMPORTS) -> None:
        self.function, self.imports = function, tuple(imports)
        self._nursery: subprocess.Popen[bytes] | None = None
        self._started = 0
        self._running: dict[int, Forked] = {}
        self._heard = b""

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """As `Starter.start`."""
        try:
            os.close(appending(log))
        except OSError as cause:
            raise cannot_write(log, cause) from cause
        if self._nursery is None or self._nursery.poll() is not None:
            self._nursery = self._open()
        self._started += 1
        process = self._running[self._started] = Forked(self, self._started)
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
            [sys.executable, "-P", "-m", "gan_cli.jobs.nursery", self.function, *self.imports],
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


class Forked:
    """A process of `Forker`."""

    def __init__(self, forker: Forker, number: int) -> None:
        self.forker, self.number = forker, number
        self.status: int | None = None

    def poll(self) -> int | None:
        self.forker.listen()
        return self.status

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            self.forker.ask(signal=int(number), to=self.number)
