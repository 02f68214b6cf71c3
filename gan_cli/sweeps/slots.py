"""Slots of a sweep: how many jobs run at once, with which GPUs and how many CPU threads each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from gan_cli.device import cores
from gan_cli.errors import ConfigError
from gan_cli.sweeps.plan import SweepJob

JOB_MEMORY = 2.0**30  # bytes that a job is expected to need where there is no GPU

Slot = tuple[str, ...]  # the names of its GPUs


class Slots:
    """Places for jobs.

    Args:
        count: jobs at once.
        gpus: to share out; none where the jobs use none, or one that the user chose.
        each: GPUs of a job.
        threads: of the CPU, which all jobs share.
    """

    def __init__(self, count: int, gpus: Sequence[str], each: int, threads: int) -> None:
        self.count, self.each = count, min(each, len(gpus))
        self.threads = max(1, threads // count)
        self._jobs_of = dict.fromkeys(gpus, 0)
        self._taken = 0

    def take(self) -> Slot | None:
        """A slot with the GPUs that the fewest jobs use; None while all are taken."""
        if self._taken == self.count:
            return None
        self._taken += 1
        slot = sorted(self._jobs_of, key=self._jobs_of.__getitem__)[: self.each]
        for gpu in slot:
            self._jobs_of[gpu] += 1
        return tuple(slot)

    def release(self, slot: Slot) -> None:
        """Free the slot of a job that has ended."""
        self._taken -= 1
        for gpu in slot:
            self._jobs_of[gpu] -= 1

    def environment(self, slot: Slot, base: Mapping[str, str], own: bool) -> dict[str, str]:
        """The environment of a job, which may set its number of threads itself (`own`)."""
        found = dict(base)
        if not own:
            found.setdefault("OMP_NUM_THREADS", str(self.threads))
        if slot:
            found["CUDA_VISIBLE_DEVICES"] = ",".join(slot)
        return found


def local_slots(jobs: Sequence[SweepJob], n_jobs: int | None, ranks: int) -> Slots:
    """The slots of this machine.

    Args:
        jobs: that need them.
        n_jobs: at once; None: as many as there are GPUs, or cores and memory for.
        ranks: processes of a job, each with a GPU of its own.

    Raises:
        ConfigError: `n_jobs` is below 1, or there are fewer GPUs than ranks.
    """
    check_count(n_jobs)
    # A job that names a GPU, such as cuda:1, gets that one.
    any_gpu = all(job.settings.runtime.device in ("auto", "cuda") for job in jobs)
    gpus = visible_gpus(os.environ) if any_gpu else []
    if 0 < len(gpus) < ranks:
        raise ConfigError(
            f"hydra.launcher.ranks = {ranks}: there are {len(gpus)} GPUs; each rank needs one"
        )
    return Slots(at_once(n_jobs, len(jobs), gpus, ranks), gpus, ranks, cores() // ranks)


def cluster_slots(jobs: int, n_jobs: int | None, threads: int) -> Slots:
    """Slots on a cluster, which assigns the GPUs itself; `threads` of each job.

    Raises:
        ConfigError: `n_jobs` is below 1.
    """
    check_count(n_jobs)
    count = max(1, min(jobs, n_jobs or jobs))
    return Slots(count, [], 0, count * max(1, threads))


def check_count(n_jobs: int | None) -> None:
    """Raise ConfigError for less than one job at once."""
    if n_jobs is not None and n_jobs < 1:
        raise ConfigError(f"hydra.launcher.n_jobs = {n_jobs}: must be 1 or more")


def at_once(n_jobs: int | None, jobs: int, gpus: Sequence[str], ranks: int) -> int:
    """How many of `jobs` run at once; arguments as of `local_slots`."""
    if n_jobs is not None:
        most = n_jobs
    elif gpus:
        most = len(gpus) // ranks
    else:
        most = min(cores() // ranks, int(free_memory() / JOB_MEMORY / ranks))
    return max(1, min(most, jobs))


def free_memory() -> float:
    """Free memory in bytes; infinite where the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = dict(line.split(":") for line in lines)["MemAvailable"]
        return float(free.split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return float("inf")


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used, named as in CUDA_VISIBLE_DEVICES."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        listed = environment["CUDA_VISIBLE_DEVICES"].split(",")
        return [name.strip() for name in listed if name.strip() not in ("", "-1", "NoDevFiles")]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]
