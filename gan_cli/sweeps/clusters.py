"""Jobs of a sweep on a cluster: Slurm by submitit, or Ray."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import FAILED, INTERRUPTED
from gan_cli.files import refuse_links
from gan_cli.formatting import needs
from gan_cli.jobs.processes import Starter, open_log, spawn, training
from gan_cli.signals import KILL

SUBMITIT_FOLDER = "slurm"  # of submitit's own files, beside the logs


class ClusterJob:
    """Runs a module as a process, on a machine of the cluster.

    An interrupt, or a call of `checkpoint`, makes it save its state first.

    Args:
        words: the module and its arguments.
        log: a file that all machines see, which the output is appended to.
        environment: variables that differ from those of the machine.
    """

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.words, self.log = tuple(words), log.absolute()
        self.environment, self.folder = dict(environment), Path.cwd()
        self.process: int | None = None

    def __call__(self) -> int:
        """Run it; the exit status, minus the signal's number if one ended it."""
        environment = {**os.environ, **self.environment}
        child = spawn(self.words, self.log, environment, cwd=self.folder)
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
        """Let the process save its state and end, without reading its exit status."""
        if self.process is not None:
            with suppress(ProcessLookupError, ChildProcessError):  # it has ended by itself
                os.kill(self.process, signal.SIGTERM)
                if hasattr(os, "waitid"):
                    os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)

    def checkpoint(self) -> Any:
        """Called by submitit before the machine is taken away; the job for the next machine."""
        self.save()
        self.process = None
        return import_module("submitit.helpers").DelayedSubmission(self)


def cluster_job(
    arguments: Sequence[str], ranks: int, log: Path, environment: Mapping[str, str]
) -> ClusterJob:
    """A training with `ranks` processes on one machine.

    Args:
        arguments: of `gan-train`.
        ranks: processes, by torchrun.
        log: as of `ClusterJob`.
        environment: of a process on this machine; variables that are set here already are dropped.
    """
    own = {key: value for key, value in environment.items() if os.environ.get(key) != value}
    return ClusterJob([*training(ranks), *arguments], log, own)


class ClusterProcess(ABC):
    """A job that waits or runs on a cluster."""

    def __init__(self) -> None:
        self.status: int | None = None

    def poll(self) -> int | None:
        """The exit status, None while it waits or runs."""
        if self.status is None and self._done():
            self.status = self._exit_status()
        return self.status

    def send(self, number: signal.Signals) -> None:
        """Cancel it, at which it saves its state."""
        if self.poll() is None:
            self._cancel(number == KILL)

    @abstractmethod
    def _done(self) -> bool: ...

    @abstractmethod
    def _exit_status(self) -> int: ...

    @abstractmethod
    def _cancel(self, force: bool) -> None: ...


class SlurmStarter(Starter):
    """Submits jobs to the queue of a Slurm cluster.

    Args:
        cluster: "slurm", or "local": submitit's stand-in for one on this machine.
        parameters: of submitit.
        ranks: processes of a job.
        requeues: how often a job that ran out of its time is queued again; a preempted one always
            is.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(
        self, cluster: str, parameters: Mapping[str, Any], ranks: int, requeues: int
    ) -> None:
        self.cluster, self.parameters = cluster, dict(parameters)
        self.ranks, self.requeues = ranks, requeues
        self._submitit = _imported("submitit", "slurm")
        self._executor: Any = None

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> SlurmProcess:
        os.close(open_log(log))
        try:
            executor = self._executor or self._open(log.parent.parent / SUBMITIT_FOLDER)
            job = executor.submit(cluster_job(arguments, self.ranks, log, environment))
        except (RuntimeError, OSError, ValueError, NameError) as error:
            raise UserError(f"hydra.launcher: submitit cannot submit the job: {error}") from error
        return SlurmProcess(job)

    def _open(self, folder: Path) -> Any:
        refuse_links(folder)
        own = {"slurm_max_num_timeout": self.requeues} if self.cluster == "slurm" else {}
        self._executor = self._submitit.AutoExecutor(folder.absolute(), self.cluster, **own)
        self._executor.update_parameters(**self.parameters)
        return self._executor


class SlurmProcess(ClusterProcess):
    """A job of submitit; cancelled, it has KillWait seconds to save its state."""

    def __init__(self, job: Any) -> None:
        super().__init__()
        self.job, self._cancelled = job, False

    def _done(self) -> bool:
        return self.job.done()

    def _exit_status(self) -> int:
        errors = import_module("submitit.core.utils")
        try:
            return self.job.result()
        except errors.FailedJobError:
            return FAILED
        except errors.UncompletedJobError:  # cancelled, or its machine is gone
            return INTERRUPTED if self._cancelled else -KILL

    def _cancel(self, force: bool) -> None:
        self._cancelled = True
        self.job.cancel(check=False)


def slurm_parameters(
    minutes: int, cpus: int, gpus: int, memory: float | None, cluster: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of submitit.

    Args:
        minutes: until the cluster takes the machine away.
        cpus: cores of a job.
        gpus: of a job.
        memory: in GiB.
        cluster: as of `SlurmStarter`.
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


class RayStarter(Starter):
    """Starts jobs as tasks of a Ray cluster.

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
        self._ray = _imported("ray", "ray")
        self._remote: Any = None

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> RayProcess:
        os.close(open_log(log))
        remote = self._remote or self._connect()
        job = cluster_job(arguments, self.ranks, log, environment)
        return RayProcess(self._ray, remote.remote(job))

    def _connect(self) -> Any:
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
        # A task whose machine was lost is retried: the run folder has its state.
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 3}
        self._remote = self._ray.remote(**options)(run_job)
        return self._remote

    def close(self) -> None:
        """Leave the cluster."""
        if self._remote is not None:
            self._ray.shutdown()
            self._remote = None


def run_job(job: ClusterJob) -> int:
    """Run a job on the cluster; its exit status."""
    return job()


class RayProcess(ClusterProcess):
    """A task of Ray; interrupted, it lets its process save its state."""

    def __init__(self, ray: Any, task: Any) -> None:
        super().__init__()
        self.ray, self.task = ray, task

    def _done(self) -> bool:
        return bool(self.ray.wait([self.task], timeout=0)[0])

    def _exit_status(self) -> int:
        try:
            return self.ray.get(self.task)
        except self.ray.exceptions.TaskCancelledError:
            return INTERRUPTED
        except self.ray.exceptions.WorkerCrashedError:
            return -KILL
        except self.ray.exceptions.RayError:
            return FAILED

    def _cancel(self, force: bool) -> None:
        self.ray.cancel(self.task, force=force)


def _imported(module: str, launcher: str) -> Any:
    """The library of a launcher.

    Raises:
        ConfigError: it is not installed.
    """
    absent = ConfigError(f"hydra/launcher = {launcher}: {needs(module, launcher)}")
    try:
        found = import_module(module)
    except ImportError as cause:
        raise absent from cause
    if getattr(found, "__file__", None) is None:  # a folder of that name that lies about
        raise absent
    return found
