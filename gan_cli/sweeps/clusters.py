"""Jobs in the queue of a Slurm cluster, by submitit."""

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

from gan_cli import files
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import FAILED, INTERRUPTED
from gan_cli.files import appending, cannot_write, refuse_links

TRAIN = "gan_cli.commands.train"


class ClusterJob:
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
        with os.fdopen(files.appending(self.log), "ab") as file:
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


def cluster_job(
    arguments: Sequence[str], ranks: int, log: Path, environment: Mapping[str, str]
) -> ClusterJob:
    """Of a training with so many processes, on one machine.

    Args:
        arguments: of `gan-train`.
        ranks: processes, by torchrun.
        log: as of `ClusterJob`.
        environment: of a process on this machine; what it shares with ours stays here.
    """
    own = {key: value for key, value in environment.items() if os.environ.get(key) != value}
    module = ["-P", "-m", "gan_cli.jobs.child", TRAIN]  # it ends when who started it is killed
    if ranks > 1:
        module = ["-P", "-m", "gan_cli.jobs.child", "torch.distributed.run", "--standalone"]
        module += ["--nproc-per-node", str(ranks), "-m", TRAIN]
    return ClusterJob([*module, *arguments], log, own)


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
            job = executor.submit(cluster_job(arguments, self.ranks, log, environment))
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
        return Task(
            self._ray, function.remote(cluster_job(arguments, self.ranks, log, environment))
        )

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
    """On the cluster: run the cluster_job; its exit status."""
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
