"""`hydra/launcher=local`: jobs as processes of this machine."""

# Hydra does not put plugins into sys.modules, where dataclasses look up annotations that are text.
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore

from hydra_plugins.gan_train._sweeping import SweepLauncher

if TYPE_CHECKING:
    from gan_cli.sweeps.launch import Backend


@dataclass
class LocalConf:
    """The settings of `hydra.launcher`."""

    _target_: str = "hydra_plugins.gan_train.local.LocalLauncher"
    n_jobs: int | None = None  # at once; null: as many as there are GPUs, or cores
    ranks: int = 1  # processes of a job, by torchrun, each with a GPU of its own
    fork: bool = True  # start jobs from a process that has imported torch already
    grace: float = 60.0  # seconds that a stopped job has to save its state


class LocalLauncher(SweepLauncher):
    """One process per job, several at a time; arguments as in `LocalConf`."""

    def __init__(self, n_jobs: int | None, ranks: int, fork: bool, grace: float) -> None:
        self.n_jobs, self.ranks, self.fork, self.grace = n_jobs, ranks, fork, grace

    def backend(self) -> "Backend":
        """Processes of this machine."""
        from gan_cli.sweeps.launch import Backend, local_starter
        from gan_cli.sweeps.plan import groups
        from gan_cli.sweeps.slots import local_slots

        return Backend(
            local_starter(self.ranks, self.fork),
            lambda jobs: local_slots(jobs, self.n_jobs, self.ranks),
            groups if self.ranks == 1 else None,
            grace=self.grace,
        )


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalConf, provider="gan_train"
)
