"""`hydra/launcher=ray`: jobs as tasks of a Ray cluster."""

# Hydra does not put plugins into sys.modules, where dataclasses look up annotations that are text.
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore

from hydra_plugins.gan_train._sweeping import SweepLauncher

if TYPE_CHECKING:
    from gan_cli.sweeps.launch import Backend


@dataclass
class RayConf:
    """The settings of `hydra.launcher`."""

    _target_: str = "hydra_plugins.gan_train.ray.RayLauncher"
    address: str | None = None  # of the cluster, such as auto; null: one of this machine alone
    cpus: float = 1  # cores of a job
    gpus: float = 0  # of a job; 0.5: two jobs share one
    n_jobs: int | None = None  # given to Ray at once; null: all
    ranks: int = 1  # processes of a job, by torchrun
    grace: float = 60.0  # seconds that a stopped job has to save its state


class RayLauncher(SweepLauncher):
    """Each job a task; arguments as in `RayConf`."""

    def __init__(
        self,
        address: str | None,
        cpus: float,
        gpus: float,
        n_jobs: int | None,
        ranks: int,
        grace: float,
    ) -> None:
        self.address, self.cpus, self.gpus = address, cpus, gpus
        self.n_jobs, self.ranks, self.grace = n_jobs, ranks, grace

    def backend(self) -> "Backend":
        """A cluster."""
        from gan_cli.sweeps.clusters import RayStarter
        from gan_cli.sweeps.launch import Backend
        from gan_cli.sweeps.slots import cluster_slots

        return Backend(
            RayStarter(self.address, self.cpus, self.gpus, self.ranks),
            lambda jobs: cluster_slots(len(jobs), self.n_jobs, int(self.cpus) // self.ranks),
            grace=self.grace,
        )


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConf, provider="gan_train")
