"""From a command line to the composed config: Hydra, held to what it may do.

It composes once where `hydra.main` does twice, which is a tenth of a start. What the files of
--config-dir say under `hydra` is checked before it is merged, and the whole before it is obeyed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_cli.config.gate import close_path
from gan_cli.config.hydra_settings import faults_of_composed, faults_of_file
from gan_cli.config.overrides import CONF, Command, explain, open_path, prepare
from gan_cli.config.reading import read
from gan_cli.config.schema import Settings
from gan_cli.errors import ConfigError
from gan_cli.formatting import assignment

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

CONFIG_DIR = "--config-dir"  # what Hydra calls the source of the user's files
SHOWING = ("--cfg", "--info", "--shell-completion", "--hydra-help")


class _Loader(ConfigLoaderImpl):
    """Refuses what a config says of Hydra itself and may not."""

    def _load_single_config(self, default: Any, repo: Any) -> Any:
        result = super()._load_single_config(default, repo)
        ours = result.provider != CONFIG_DIR and (
            default.primary or str(default.config_path).startswith("hydra/")
        )
        if not ours and isinstance(result.config, DictConfig) and "hydra" in result.config:
            node = OmegaConf.to_container(result.config)["hydra"]  # type: ignore[index]
            if faults := list(faults_of_file(node, f"{default.config_path}.yaml")):
                raise ConfigError("\n".join(faults))
        return result

    def load_configuration(self, *arguments: Any, **named: Any) -> DictConfig:
        config = super().load_configuration(*arguments, **named)
        node: Any = OmegaConf.to_container(config.hydra, enum_to_str=True)
        if faults := list(faults_of_composed(node)):
            raise ConfigError("\n".join(faults))
        return config


@contextmanager
def hydra_for(line: Command) -> Iterator[Hydra]:
    """Hydra with our config files and those of --config-dir.

    Only then may modules of the user's folders be imported: Hydra imports every plugin in reach.
    """
    close_path()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        path = hydra.config_loader.get_search_path()
        for folder in line.config_dirs:
            schema = SearchPathQuery(provider="schema", path=None)
            path.prepend(provider=CONFIG_DIR, path=f"file://{folder}", anchor=schema)
        hydra.config_loader = _Loader(path)
        open_path(line)
        yield hydra


def composed(line: Command) -> DictConfig:
    """What Hydra composes for `line`, without the node `hydra`.

    Of its options, --config-dir counts here.
    """
    with hydra_for(line) as hydra:
        config = hydra.compose_config("train", _overrides(line), RunMode.RUN, from_shell=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def sweep(line: Command, task: Callable[[DictConfig], None]) -> None:
    """Run what -m asks for: Hydra's sweeper, with our launchers or its own, which calls `task`."""
    # Hydra leaves a file there; what stays of a sweep is its sweep.json.
    with TemporaryDirectory(prefix="gan-train-") as scratch, hydra_for(line) as hydra:
        overrides = [*_overrides(line), "hydra.mode=MULTIRUN"]
        if faults := list(_without_values(overrides, hydra.config_loader)):
            raise ConfigError("\n".join(faults))
        overrides.append(assignment("hydra.sweep.dir", scratch))
        hydra.multirun("train", task, overrides, with_log_configuration=False)


def _without_values(overrides: list[str], loader: ConfigLoader) -> Iterator[str]:
    """What is wrong with overrides that leave a sweep without a job, or with too many."""
    for override in OverridesParser.create(loader).parse_overrides(overrides):
        key, value = override.get_key_element().lstrip("+"), override.value()
        shown = f"{key} = {str(override.input_line).partition('=')[2]}"
        if not override.is_sweep_override():
            continue
        if not override.is_discrete_sweep():
            yield f"{shown}: -m needs single values; gan-tune searches an interval"
        elif [*override.sweep_iterator()]:
            continue
        elif isinstance(value, Glob):
            yield f"{shown}: fits none of {', '.join(loader.get_group_options(key))}"
        else:
            yield f"{shown}: has no value, so there is nothing to run; range(1,4) is 1,2,3"


def information(line: Command) -> bool:
    """Print what --cfg, --info or -sc ask for; whether the line holds one of them."""
    options = dict(line.options)
    asked = [name for name in SHOWING if name in options]
    if not asked:
        return False
    if len(asked) > 1 or line.multirun:
        raise ConfigError(f"{asked[0]}: can be given alone, without -m or another such option")
    overrides = _overrides(line)
    if asked == ["--hydra-help"]:
        import sys

        import hydra

        sys.argv[1:] = asked
        hydra.main(str(CONF), "train", version_base="1.3")(lambda config: None)()
    with hydra_for(line) as composer:
        match asked[0]:
            case "--cfg":
                kind, resolve = options["--cfg"] or "job", "--resolve" in options
                composer.show_cfg("train", overrides, kind, options.get("--package"), resolve)
            case "--info":
                # Hydra logs to stdout here, and its handler complains once nobody reads that.
                loud, logging.raiseExceptions = logging.raiseExceptions, False
                try:
                    composer.show_info(options["--info"] or "all", "train", overrides)
                finally:
                    logging.raiseExceptions = loud
            case _:
                composer.shell_completion("train", overrides)
    return True


def _overrides(line: Command) -> list[str]:
    return [word for word in line.argv if not word.startswith("-")]


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
    try:
        return composed(line)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise ConfigError(message) from error
