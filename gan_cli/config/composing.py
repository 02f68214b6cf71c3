"""The way in for programs: settings from overrides, as `gan-train` would read them."""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from gan_cli.config.overrides import CONF, prepare
from gan_cli.config.reading import read
from gan_cli.config.schema import Settings


def settings_of(*overrides: str) -> Settings:
    """The validated settings of a command line such as `"model=wgan", "prior.dim=50"`.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(overrides))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", line.argv, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return read(config, line)
