"""From a command line to the composed config: Hydra's programming interface.

It composes once where `hydra.main` does twice, which is a tenth of a start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_cli.config.overrides import CONF, Command, explain, open_path, prepare
from gan_cli.config.reading import read
from gan_cli.config.schema import Settings
from gan_cli.errors import ConfigError
from gan_cli.formatting import assignment


def composed(line: Command) -> DictConfig:
    """What Hydra composes for `line`, without the node `hydra`, as `hydra.main` would give it.

    Of its options, --config-dir counts here.
    """
    overrides = [word for word in line.argv if not word.startswith("-")]
    if line.config_dirs:
        overrides.append(assignment("hydra.searchpath", [f"file://{d}" for d in line.config_dirs]))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def settings_of(*arguments: str) -> Settings:
    """The validated settings of a command line such as `"model=wgan", "prior.dim=50"`.

    Args:
        arguments: overrides, and --config-dir and --trust.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(arguments))
    return read(_composed_or_explained(line), line)


def settings_completed(
    saved: Mapping[str, Any], *arguments: str
) -> tuple[Settings, dict[str, Any]]:
    """`settings_of`, where keys that the options leave open (`???`, such as data.root) are `saved`.

    Returns:
        The settings, and those keys with their values.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(arguments))
    config = _composed_or_explained(line)
    known, open_keys = OmegaConf.create(dict(saved)), sorted(OmegaConf.missing_keys(config))
    values = {key: OmegaConf.select(known, key) for key in open_keys}
    for key, value in values.items():
        OmegaConf.update(config, key, value)
    return read(config, line), values


def _composed_or_explained(line: Command) -> DictConfig:
    open_path(line)
    try:
        return composed(line)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise ConfigError(message) from error
