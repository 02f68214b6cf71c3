"""From a composed config to validated settings, and from settings to text and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
)

from gan_cli import foreign
from gan_cli.config import groups
from gan_cli.config.build import plainly
from gan_cli.config.checking import (
    NO_HORIZON,
    absent_groups,
    node_faults,
    once,
    settle_horizon,
    several,
    trusted,
)
from gan_cli.config.faults import validate
from gan_cli.config.optimizing import optimizer_settings, plain_settings, range_faults
from gan_cli.config.overrides import Command
from gan_cli.config.schema import HORIZONS, NODES, Settings
from gan_cli.config.wording import closest, show
from gan_cli.errors import CheckpointError, ConfigError

__all__ = ["from_yaml", "optimizer_settings", "read", "to_yaml", "trusted"]

PARTS = ("loss", "penalty", "network", "prior")  # groups that models take by interpolation
LONGEST_REASON = 200  # characters, of OmegaConf's words
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def read(config: DictConfig, command: Command) -> Settings:
    """Validate what Hydra composed for `command`. Builds nothing, imports the classes it names.

    Raises:
        ConfigError: lists every fault, one on a line.
    """
    root, faults = plain(config)
    faults += settle_horizon(root, command.keys)
    shared = {key: node for key, node in root.items() if isinstance(node, Mapping)}
    # A user's own group is there to be taken into `model` by interpolation, and is checked there.
    for key in [key for key in root if key not in Settings.model_fields]:
        if groups.is_group(key, command.config_dirs):
            del root[key]
    absent = dict(absent_groups(root, command.config_dirs))
    # What repeats such a group by interpolation is not at fault.
    faults = [f for f in faults if not any(f"there is no {name} in" in f for name in absent)]
    faults += absent.values()
    root["choices"] = choices()
    elsewhere = [key for name in NODES for key, _ in leaves(root.get(name), name)]
    faults += validate(Settings, root, elsewhere=elsewhere)
    run = root.get("run")
    runs = run.get("root") if isinstance(run, Mapping) else None
    trust = trusted(command, str(runs or "runs"))
    found = node_faults(root, trust, shared)
    faults += [
        f for f in found if not f.startswith(tuple(f"model.{name} = null" for name in absent))
    ]
    if faults := once(faults):
        raise ConfigError("\n".join(faults))
    for name in NODES:
        root[name] = (plain_settings if name == "optimizer" else plainly)(root[name], trust)
    return Settings.model_validate(root)


def unused(config: DictConfig, command: Command) -> Iterator[str]:
    """A line for each group that was typed and of which the composed model takes nothing."""
    for group in PARTS:
        typed = [o for o in command.overrides if re.match(rf"[+]*{group}[.=]", o)]
        others = OmegaConf.masked_copy(config, [str(key) for key in config if key != group])
        if typed and not re.search(rf"\$\{{{group}[.}}]", OmegaConf.to_yaml(others)):
            model = choices().get("model", "this model")
            yield f"{typed[-1].lstrip('+')}: changes nothing, since {model} has no {group}"


def to_yaml(settings: Settings) -> str:
    """The settings as text: all that is needed to build the run again.

    `force` counts for one command and is not among it.
    """
    return yaml.dump(
        {**settings.model_dump(), "force": False},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def from_yaml(text: str) -> Settings:
    """The settings in a run's config. Trusts nothing: imports and builds nothing it names.

    Raises:
        ConfigError: this is no such text, or lists every fault.
    """
    try:
        root = foreign.parse_yaml(text, "the run's config", finite=False)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(root, dict):
        raise ConfigError("the run's config is no mapping of settings")
    faults = validate(Settings, {str(key): value for key, value in root.items()})
    if isinstance(root.get("optimizer"), Mapping):
        faults += range_faults(root["optimizer"])
    given = [name for name in HORIZONS if root.get(name) is not None]
    if len(given) != 1:
        faults.append(several(root, given) if given else NO_HORIZON)
    if faults := once(faults):
        raise ConfigError("the run's config cannot be used:\n" + "\n".join(faults))
    return Settings.model_validate(root)


def choices() -> dict[str, str]:
    """The option that Hydra took of each group; empty where Hydra is not running."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {}
    chosen = HydraConfig.get().runtime.choices
    return {
        str(group): str(option)
        for group, option in chosen.items()
        if option is not None and not str(group).startswith("hydra/")
    }


def plain(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """`config` with interpolations resolved, and its faults, one line each.

    What is missing (`???`) or refers to nothing is null in the result and named in the faults,
    where it stands and not where it is repeated.
    """
    faults: list[str] = []
    mine = [str(key) for key in config if key != "hydra"]  # Hydra's own node is its business
    config = OmegaConf.masked_copy(config, mine)
    known = [key for key, _ in leaves(OmegaConf.to_container(config))]
    resolved = _visit(config, "", (), faults, known, False)
    assert isinstance(resolved, dict)
    return resolved, faults


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of all nodes and values of nested mappings, outer ones first."""
    if isinstance(config, dict):
        for key, value in config.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            yield path, value
            yield from leaves(value, path)


def _visit(
    node: DictConfig | ListConfig,
    path: str,
    above: tuple[int, ...],
    faults: list[str],
    known: list[str],
    repeated: bool,
) -> Any:
    above = (*above, id(node))
    listed = isinstance(node, ListConfig)
    keys: Any = range(len(node)) if listed else list(node)
    values = []
    for key in keys:
        here = f"{path}[{key}]" if listed else f"{path}.{key}" if path else str(key)
        value = None
        if OmegaConf.is_missing(node, key):
            if not repeated:
                faults.append(f"{here}: must be given, with {here}=...")
        else:
            try:
                value = node[key]
            except OmegaConfBaseException as error:
                if not repeated:
                    faults.extend(_unresolved(error, here, node, key, known))
        if isinstance(value, DictConfig | ListConfig):
            again = repeated or OmegaConf.is_interpolation(node, key)
            if id(value) in above:
                faults.append(f"{here} = {_text(node, key)}: refers to what holds it")
                value = None
            else:
                value = _visit(value, here, above, faults, known, again)
        values.append(value)
    return values if listed else dict(zip(keys, values, strict=True))


def _text(node: Any, key: Any) -> str:
    return show(OmegaConf.to_container(node)[key])  # type: ignore[index]


def _unresolved(
    error: OmegaConfBaseException, path: str, node: Any, key: Any, known: list[str]
) -> Iterator[str]:
    if isinstance(error, InterpolationToMissingValueError):
        return  # named where it is missing
    text = _text(node, key)
    if isinstance(error, InterpolationKeyError) and (match := REFERENCE.search(text)):
        near = closest(match[1], known)
        meant = f" (did you mean ${{{near}}}?)" if near else ""
        yield f"{path} = {text}: there is no {match[1]} in the config{meant}"
        return
    first = str(error).partition("\n")[0]
    reason = first.rpartition("resolving interpolation: ")[2].strip('"')
    yield f"{path} = {text}: {reason[:LONGEST_REASON]}"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # nodes that are repeated are written out
