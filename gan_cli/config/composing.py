"""From a command line to the composed config: Hydra's programming interface.

It composes once where `hydra.main` does twice, which is a tenth of a start.
"""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from gan_cli.config.overrides import CONF, Command, prepare
from gan_cli.config.reading import read
from gan_cli.config.schema import Settings


def composed(line: Command) -> DictConfig:
    """What Hydra composes for `line`, without the node `hydra`, as `hydra.main` would give it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", line.argv, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def settings_of(*overrides: str) -> Settings:
    """The validated settings of a command line such as `"model=wgan", "prior.dim=50"`.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(overrides))
    return read(composed(line), line)
