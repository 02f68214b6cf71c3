"""A job's process on another machine: what is sent there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gan_cli import atomic

TRAIN = "gan_cli.train"


class Errand:
    """Runs a module of Python as a process, with what it says behind what is in `log`.

    An interrupt, or a call of `checkpoint`, has it save its state first.

    Args:
        arguments: of Python, from `-m` on.
        log: a file that all machines see.
        environment: what is other than on the machine where it runs.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.arguments, self.log = tuple(arguments), log.absolute()
        self.environment, self.folder = dict(environment), Path.cwd()
        self.process: int | None = None

    def __call__(self) -> int:
        """The exit status, minus the signal's number where one ended it."""
        with os.fdopen(atomic.appending(self.log), "ab") as file:
            child = subprocess.Popen(
                [sys.executable, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )
        self.process = child.pid
        try:
            return child.wait()
        except KeyboardInterrupt:
            self.save()
            return child.wait()
        finally:
            if child.poll() is None:
                child.kill()

    def save(self) -> None:
        """Have the process save its state and end; it is left to be waited for."""
        if self.process is not None:
            with suppress(ProcessLookupError, ChildProcessError):  # it has ended by itself
                os.kill(self.process, signal.SIGTERM)
                os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)

    def checkpoint(self) -> Any:
        """Called by submitit before the machine is taken away; what to do on the next one."""
        self.save()
        self.process = None
        return import_module("submitit.helpers").DelayedSubmission(self)


def errand(
    arguments: Sequence[str], ranks: int, log: Path, environment: Mapping[str, str]
) -> Errand:
    """Of a training with so many processes, on one machine.

    Args:
        arguments: of `gan-train`.
        ranks: processes, by torchrun.
        log: as of `Errand`.
        environment: of a process on this machine; what it shares with ours stays here.
    """
    own = {key: value for key, value in environment.items() if os.environ.get(key) != value}
    module = ["-P", "-m", "gan_cli.jobs.child", TRAIN]  # it ends when who started it is killed
    if ranks > 1:
        module = ["-P", "-m", "gan_cli.jobs.child", "torch.distributed.run", "--standalone"]
        module += ["--nproc-per-node", str(ranks), "-m", TRAIN]
    return Errand([*module, *arguments], log, own)
