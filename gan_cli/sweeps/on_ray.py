"""Jobs as tasks of a Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gan_cli.atomic import appending, cannot_write
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import FAILED, INTERRUPTED
from gan_cli.sweeps.remote import errand


class Tasks:
    """A `Starter` of tasks.

    Args:
        address: of the cluster: "auto" is the one that this machine belongs to; None: one of this
            machine alone, which ends with us.
        cpus: cores of a job; it waits until a machine has as many.
        gpus: of a job; less than 1 is a share of one.
        ranks: processes of a job.

    Raises:
        ConfigError: Ray is not installed.
    """

    def __init__(self, address: str | None, cpus: float, gpus: float, ranks: int) -> None:
        self.address, self.cpus, self.gpus, self.ranks = address, cpus, gpus, ranks
        try:
            self._ray = import_module("ray")
        except ImportError as cause:
            raise ConfigError(
                "hydra/launcher = ray: Ray is not installed; pip install 'gan-cli[ray]'"
            ) from cause
        self._function: Any = None

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Task:
        """As `Starter.start`."""
        try:
            os.close(appending(log))
        except OSError as cause:
            raise cannot_write(log, cause) from cause
        function = self._function or self._joined()
        return Task(self._ray, function.remote(errand(arguments, self.ranks, log, environment)))

    def _joined(self) -> Any:
        known = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._ray.init(
                address=self.address,
                log_to_driver=False,
                include_dashboard=False,
                runtime_env={"env_vars": known},
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"hydra.launcher.address = {self.address}: {error}") from error
        finally:  # Ray would abort at a SIGTERM
            for number, handler in before.items():
                signal.signal(number, handler)
        # What a lost machine was at goes on elsewhere: the run folder has its state.
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 3}
        self._function = self._ray.remote(**options)(carry_out)
        return self._function

    def wakes(self) -> Sequence[int]:
        """None that could be waited for."""
        return ()

    def close(self) -> None:
        """Leave the cluster."""
        if self._function is not None:
            self._ray.shutdown()
            self._function = None


def carry_out(work: Any) -> int:
    """On the cluster: run the errand; its exit status."""
    return work()


class Task:
    """A task that waits or runs."""

    def __init__(self, ray: Any, result: Any) -> None:
        self.ray, self.result = ray, result
        self.status: int | None = None

    def poll(self) -> int | None:
        """The exit status, None while it waits or runs."""
        if self.status is None and self.ray.wait([self.result], timeout=0)[0]:
            self.status = self._outcome()
        return self.status

    def _outcome(self) -> int:
        try:
            return self.ray.get(self.result)
        except self.ray.exceptions.TaskCancelledError:
            return INTERRUPTED
        except self.ray.exceptions.WorkerCrashedError:
            return -signal.SIGKILL
        except self.ray.exceptions.RayError:
            return FAILED

    def send(self, number: signal.Signals) -> None:
        """Interrupt the task, which has its process save its state; or end it."""
        if self.poll() is None:
            self.ray.cancel(self.result, force=number == signal.SIGKILL)
