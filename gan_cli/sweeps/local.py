"""Jobs as processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gan_cli.errors import ConfigError
from gan_cli.jobs.forking import Forker, possible
from gan_cli.jobs.starting import Spawner, Starter
from gan_cli.sweeps.planning import Job
from gan_cli.sweeps.slots import Slots, at_once, cores, gpus

TORCHRUN = ("--standalone", "--nproc-per-node")


def starter_for(ranks: int, fork: bool) -> Starter:
    """Of jobs with so many processes each, forked where that can be.

    Raises:
        ConfigError: there cannot be so few.
    """
    if ranks < 1:
        raise ConfigError(f"hydra.launcher.ranks = {ranks}: must be 1 or more")
    if ranks > 1:
        return Spawner("torch.distributed.run", [*TORCHRUN, str(ranks), "-m", "gan_cli.train"])
    return Forker() if fork and possible() else Spawner()


def slots_for(jobs: Sequence[Job], n_jobs: int | None, ranks: int) -> Slots:
    """Places for these jobs.

    Raises:
        ConfigError: there cannot be so few.
    """
    if n_jobs is not None and n_jobs < 1:
        raise ConfigError(f"hydra.launcher.n_jobs = {n_jobs}: must be 1 or more")
    # Who names a GPU, such as cuda:1, gets that one.
    free = all(job.settings.runtime.device in ("auto", "cuda") for job in jobs)
    devices = gpus(os.environ) if free else []
    if 0 < len(devices) < ranks:
        raise ConfigError(
            f"hydra.launcher.ranks = {ranks}: there are {len(devices)} GPUs; each rank needs one"
        )
    return Slots(at_once(n_jobs, len(jobs), devices, ranks), devices, ranks, cores() // ranks)
