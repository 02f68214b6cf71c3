"""`hydra/launcher=slurm`: jobs in the queue of a cluster."""

# Hydra does not put plugins into sys.modules, where dataclasses look up annotations that are text.
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.gan_train._sweeping import SweepLauncher

if TYPE_CHECKING:
    from gan_cli.sweeps.launch import Backend


@dataclass
class SlurmConf:
    """The settings of `hydra.launcher`."""

    _target_: str = "hydra_plugins.gan_train.slurm.SlurmLauncher"
    minutes: int = 240  # until the cluster takes the machine away; the job is then queued again
    cpus: int = 4  # cores of a job
    gpus: int = 1  # of a job
    memory: float | None = None  # of a job, in GiB
    n_jobs: int | None = None  # in the queue at once; null: all
    ranks: int = 1  # processes of a job, by torchrun
    requeues: int = 10  # how often a job whose minutes were over is queued again
    grace: float = 120.0  # seconds that a cancelled job has to save its state
    options: dict[str, Any] = field(default_factory=dict)  # submitit's slurm_...: partition, qos
    cluster: str = "slurm"  # local: submitit's stand-in for a cluster on this machine


class SlurmLauncher(SweepLauncher):
    """Submits each job to Slurm; arguments as in `SlurmConf`."""

    def __init__(
        self,
        minutes: int,
        cpus: int,
        gpus: int,
        memory: float | None,
        n_jobs: int | None,
        ranks: int,
        requeues: int,
        grace: float,
        options: dict[str, Any],
        cluster: str,
    ) -> None:
        self.resources = minutes, cpus, gpus, memory
        self.n_jobs, self.ranks, self.requeues, self.grace = n_jobs, ranks, requeues, grace
        self.options, self.cluster = options, cluster

    def backend(self) -> "Backend":
        """A queue."""
        from gan_cli.sweeps.clusters import SlurmStarter, slurm_parameters
        from gan_cli.sweeps.launch import Backend
        from gan_cli.sweeps.slots import cluster_slots

        cpus = self.resources[1]
        found = slurm_parameters(*self.resources, self.cluster, self.options)
        return Backend(
            SlurmStarter(self.cluster, found, self.ranks, self.requeues),
            lambda jobs: cluster_slots(len(jobs), self.n_jobs, cpus // self.ranks),
            grace=self.grace,
        )


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm", node=SlurmConf, provider="gan_train"
)
