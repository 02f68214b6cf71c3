"""Defaults for settings that are newer than the version that wrote a saved config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from pydantic import BaseModel

from gan_cli.config.instantiate import TARGET
from gan_cli.config.schema import Settings
from gan_cli.config.trust import OWN, Trust, resolve
from gan_cli.errors import ConfigError
from gan_cli.formatting import assignment, shell_command, show

PLAIN = (NoneType, bool, int, float, str, tuple)  # what can stand in a config
Config = Mapping[str, Any]


def completed(config: Config) -> dict[str, Any]:
    """A saved config with what it leaves to defaults: the schema's, and those of our classes.

    A new setting's default there is what the program did before it had the setting, so that a
    config of an older version means the same; exceptions are in `CHANGED`. Builds nothing.
    """
    return _with_arguments(_with_fields(config, Settings))


def _with_fields(config: Config, section: type[BaseModel]) -> dict[str, Any]:
    found = dict(config)
    for name, field in section.model_fields.items():
        kind, value = field.annotation, config.get(name)
        if name not in config and not field.is_required():
            default = field.get_default()
            found[name] = default.model_dump() if isinstance(default, BaseModel) else default
        elif inspect.isclass(kind) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
            found[name] = _with_fields(value, kind)
    return found


def _with_arguments(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_arguments(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    given = {key: _with_arguments(item) for key, item in value.items()}
    return {**_arguments(value.get(TARGET)), **given}


def _arguments(target: object) -> dict[str, Any]:
    """The defaults of a class's arguments, where it is one of ours."""
    if not isinstance(target, str) or not target.startswith(tuple(f"{room}." for room in OWN)):
        return {}
    try:
        takes = inspect.signature(resolve(target, Trust(), "")).parameters
    except ConfigError:  # raised again where it is built
        return {}
    return {name: p.default for name, p in takes.items() if isinstance(p.default, PLAIN)}


@dataclass(frozen=True)
class Changed:
    """A setting of a model whose default is not what an older version did."""

    model: str  # name of the class
    key: str
    older: Callable[[Config], Any]  # what that version did where nothing was typed
    why: str  # the new default
    written: bool = False  # that version's configs hold it
    matters: Callable[[Config], bool] = lambda config: True  # else both come to the same


def _optimizer(config: Config) -> Config:
    found = config.get("optimizer")
    return found if isinstance(found, Mapping) else {}


def _is_not_plain(config: Config) -> bool:
    """Whether D's optimizer is not what an unrolled GAN looked ahead with by default."""
    found = _optimizer(config)
    varies = found.get("schedule", "constant") != "constant" or found.get("warmup", 0)
    of_players = any(isinstance(value, Mapping) for value in found.values())
    return bool(varies or of_players or list(found.get("betas") or BETAS) != BETAS)


BETAS = [0.5, 0.999]
CHANGED = (
    Changed(
        "ACGAN", "fake_labels", lambda config: "uniform", "classes in the shares of real samples"
    ),
    Changed(
        "UnrolledGAN",
        "unroll_lr",
        lambda config: _optimizer(config).get("lr"),
        "the discriminator's own rate at each step",
        written=True,
        matters=_is_not_plain,
    ),
    Changed(
        "UnrolledGAN",
        "unroll_betas",
        lambda config: BETAS,
        "the discriminator's own",
        written=True,
        matters=_is_not_plain,
    ),
)


def comparable(saved: Config, now: Config) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """A run's config and today's, completed, so that they differ in what the user changed alone.

    Returns:
        Both, and a line for each setting whose default is another now than when the run began.
    """
    old, new, lines = completed(saved), completed(now), []
    before, after = saved.get("model"), new.get("model")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return old, new, lines
    defaults = _arguments(after.get(TARGET))
    for one in CHANGED:
        key = one.key
        here = str(before.get(TARGET)).endswith(f".{one.model}") and key in after
        if not here or (key in before and not one.written):
            continue
        older = one.older(saved)
        was = before.get(key, older)
        if was == older and after[key] == defaults.get(key):
            was = after[key]
            if one.matters(saved):
                keep = shell_command(assignment(f"model.{key}", older))
                lines.append(
                    f"model.{key}: {show(older)} in the run, {show(was)} now, which is the default "
                    f"of this version ({one.why}); {keep} keeps it"
                )
        old["model"][key] = was
    return old, new, [*lines, *_lazy(saved)]


def _lazy(saved: Config) -> list[str]:
    """A line where a penalty's `every` counted steps and counts updates now."""
    penalty, model = saved.get("penalty"), saved.get("model")
    if not isinstance(penalty, Mapping) or not isinstance(model, Mapping):
        return []
    every, several = penalty.get("every", 1), model.get("d_steps", 1) != 1 or model.get("d_burst")
    if every == 1 or not several or "rescale" in penalty:
        return []
    return [
        f"penalty.every: {show(every)} counts updates of the discriminator in this version, and "
        "counted steps when the run began"
    ]
