"""From a run's saved config back to the command that composes it. Builds nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gan_cli import formatting
from gan_cli.config.command_line import prepare
from gan_cli.config.groups import CONF
from gan_cli.config.resume import HORIZON, differences
from gan_cli.formatting import assignment, leaves, shell_command, user_path

ASIDE = ("run", "sweep", "resume", "force", "dry_run", "choices", "hydra")  # say where, not what
LONGEST = 200  # characters of a reason
Config = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """How a config came about."""

    overrides: tuple[str, ...]  # for `gan-train`, as typed but without a shell's quotes
    fault: str = ""  # why they compose to something else; empty where they do not
    config: Config = field(default_factory=dict)  # what they compose to, where there is no fault

    @property
    def keys(self) -> list[str]:
        """What the user chose."""
        return [override.partition("=")[0] for override in self.overrides]

    def command(self, seeds: Sequence[int] = ()) -> str:
        """The line for a shell; `seeds` of several runs become one sweep."""
        words = list(self.overrides)
        if seeds:
            words = [word for word in words if not word.startswith("seed=")]
            words.append(f"seed={','.join(map(str, seeds))}")
        sweep = ["-m"] if len(seeds) > 1 else []
        return shell_command("gan-train", *sweep, *words)


def origin(saved: Config) -> Origin:
    """The shortest overrides that compose to `saved`, but for where the run is kept."""
    try:
        with _hydra():
            return _origin(saved)
    except Exception as error:  # what a foreign config holds can fail in any way
        first = str(error).strip().partition("\n")[0][:LONGEST]
        overrides = tuple(f"{g}={o}" for g, o in _chosen(saved).items())
        return Origin(overrides, f"its choices do not compose here: {first}")


def _origin(saved: Config) -> Origin:
    overrides = _choices(_chosen(saved))
    for _ in range(3):  # what repeats another setting by interpolation follows it
        composed = _compose(overrides)[0]
        found = list(_missing(saved, composed))
        if not found:
            return Origin(overrides, config=composed)
        keys = {line.partition("=")[0] for line in found}
        kept = [line for line in overrides if line.partition("=")[0] not in keys]
        overrides = (*kept, *found)
    composed = _compose(overrides)[0]
    left = list(_missing(saved, composed))
    if left:
        return Origin(overrides, f"{left[0]} is not what it composes to")
    return Origin(overrides, config=composed)


def _chosen(saved: Config) -> dict[str, str]:
    choices = saved.get("choices")
    return {str(g): str(o) for g, o in choices.items()} if isinstance(choices, Mapping) else {}


def _choices(wanted: Mapping[str, str]) -> tuple[str, ...]:
    """The options to be named; what another one brings along is not."""
    overrides: tuple[str, ...] = ()
    if "experiment" in wanted:
        overrides = (f"experiment={wanted['experiment']}",)
    first = [group for group in ("model", "data") if group in wanted]
    for some in (first, list(wanted)):
        have = _compose(overrides)[1]
        other = [group for group in some if have.get(group) != wanted[group]]
        overrides = (*overrides, *(f"{group}={wanted[group]}" for group in other))
    return overrides


@contextmanager
def _hydra() -> Iterator[None]:
    from hydra import initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@lru_cache(maxsize=4096)
def _compose(overrides: tuple[str, ...]) -> tuple[Config, dict[str, str]]:
    """What Hydra makes of the overrides, resolved, and its choices."""
    from hydra import compose
    from omegaconf import OmegaConf

    line = prepare(list(overrides))
    config = compose("train", line.for_hydra, return_hydra_config=True)
    chosen = config.hydra.runtime.choices
    choices = {str(g): str(o) for g, o in chosen.items() if o is not None and "/" not in str(g)}
    mine = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    root = OmegaConf.to_container(mine, resolve=True)
    assert isinstance(root, dict)
    plain: Config = {str(key): value for key, value in root.items()}
    _settle(plain, line.keys)
    return plain, choices


def _settle(root: Config, typed: Sequence[str]) -> None:
    """Leave one of steps, epochs and images, by the rule of `validation.settle_horizon`."""
    from gan_cli.config.validation import settle_horizon

    list(settle_horizon(root, list(typed)))
    if root.get("max_time") is not None:
        root["max_time"] = formatting.parse_duration(root["max_time"])


def _missing(saved: Config, composed: Config) -> Iterator[str]:
    """The overrides that take `composed` to `saved`."""
    mine = {key: value for key, value in saved.items() if key not in ASIDE}
    theirs = {key: value for key, value in composed.items() if key in mine and key not in ASIDE}
    known = dict(leaves(mine, inner=True))
    for found in differences(theirs, mine):
        if found.key == "data.root" and _home(found.old) == found.new:
            continue
        if found.new is None and found.key in HORIZON:
            continue  # the one that is given takes their place
        if found.new is None and found.key not in known:
            continue  # a setting that is younger than the run
        yield assignment(found.key, found.new)


def _home(root: Any) -> Any:
    return str(user_path(root).absolute()) if isinstance(root, str) else root
