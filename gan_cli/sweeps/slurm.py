"""Jobs in the queue of a Slurm cluster, by submitit."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gan_cli.atomic import appending, cannot_write, refuse_links
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import FAILED, INTERRUPTED
from gan_cli.sweeps.remote import errand

FOLDER = "slurm"  # of what submitit keeps, beside the logs


class Submitter:
    """A `Starter` that submits to a queue.

    Args:
        cluster: "slurm", or "local": submitit's stand-in for one on this machine.
        parameters: of submitit.
        ranks: processes of a job.
        requeues: how often a job that ran out of its time is queued again; one that had to make
            room always is.
    """

    def __init__(
        self, cluster: str, parameters: Mapping[str, Any], ranks: int, requeues: int
    ) -> None:
        self.cluster, self.parameters = cluster, dict(parameters)
        self.ranks, self.requeues = ranks, requeues
        try:
            self._submitit = import_module("submitit")
        except ImportError as cause:
            raise ConfigError(
                "hydra/launcher = slurm: submitit is not installed; pip install 'gan-cli[slurm]'"
            ) from cause
        self._executor: Any = None

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> Submitted:
        """As `Starter.start`."""
        try:
            os.close(appending(log))
        except OSError as cause:
            raise cannot_write(log, cause) from cause
        try:
            executor = self._executor or self._opened(log.parent.parent / FOLDER)
            job = executor.submit(errand(arguments, self.ranks, log, environment))
        except (RuntimeError, OSError, ValueError, NameError) as error:
            raise UserError(f"hydra.launcher: submitit cannot submit the job: {error}") from error
        return Submitted(job)

    def _opened(self, folder: Path) -> Any:
        refuse_links(folder)
        own = {"slurm_max_num_timeout": self.requeues} if self.cluster == "slurm" else {}
        self._executor = self._submitit.AutoExecutor(folder.absolute(), self.cluster, **own)
        self._executor.update_parameters(**self.parameters)
        return self._executor

    def wakes(self) -> Sequence[int]:
        """None: the queue tells nothing of itself."""
        return ()

    def close(self) -> None:
        """Nothing to do."""


class Submitted:
    """A job in the queue, or on a machine."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.status: int | None = None
        self._asked = False

    def poll(self) -> int | None:
        """The exit status, None while it waits or runs."""
        if self.status is None and self.job.done():
            self.status = self._outcome()
        return self.status

    def _outcome(self) -> int:
        errors = import_module("submitit.core.utils")
        try:
            return self.job.result()
        except errors.FailedJobError:
            return FAILED
        except errors.UncompletedJobError:  # cancelled, or its machine is gone
            return INTERRUPTED if self._asked else -signal.SIGKILL

    def send(self, number: signal.Signals) -> None:
        """Cancel it: the cluster gives it KillWait seconds to save its state."""
        if self.poll() is None:
            self._asked = True
            self.job.cancel(check=False)


def parameters(
    minutes: int, cpus: int, gpus: int, memory: float | None, cluster: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    """In submitit's words.

    Args:
        minutes: until the cluster takes the machine away.
        cpus: cores of a job.
        gpus: of a job.
        memory: in GiB.
        cluster: as of `Submitter`.
        more: partition, account and the like; null where not given.

    Raises:
        ConfigError: a number is too small.
    """
    for key, value, least in (("minutes", minutes, 1), ("cpus", cpus, 1), ("gpus", gpus, 0)):
        if value < least:
            raise ConfigError(f"hydra.launcher.{key} = {value}: must be {least} or more")
    found = {
        "name": "gan-train",
        "timeout_min": minutes,
        "cpus_per_task": cpus,
        "gpus_per_node": gpus,
        "mem_gb": memory,
        "nodes": 1,
        "tasks_per_node": 1,
    }
    if cluster == "slurm":
        found |= {f"slurm_{key}": value for key, value in more.items()}
    return {key: value for key, value in found.items() if value is not None}
