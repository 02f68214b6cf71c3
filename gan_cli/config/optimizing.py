"""The settings of a model's optimizers: common ones, and those of a single phase on top.

optimizer:
  _target_: torch.optim.Adam
  lr: 2e-4
  schedule: cosine
  discriminator: # a mapping is a phase's own
    lr: 4e-4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gan_cli.config.build import check, plainly
from gan_cli.config.faults import validate
from gan_cli.config.gate import Trust
from gan_cli.config.schema import Rates, Schedule
from gan_cli.config.wording import hint
from gan_cli.errors import ConfigError

TARGET = "_target_"


def optimizer_settings(node: Mapping[str, Any], phases: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each phase the optimizer's `_target_` and arguments, `schedule`, `warmup`, `clip_norm`.

    Args:
        node: the config's `optimizer`.
        phases: the names of the model's players.

    Raises:
        ConfigError: settings for a phase that the model does not have.
    """
    common, own = split(node)
    faults = [
        f"optimizer.{name}: no phase of that name; this model has {', '.join(phases)}"
        f"{hint(name, phases)}"
        for name in own
        if name not in phases
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    defaults = Schedule().model_dump()
    return {name: {**defaults, **common, **own.get(name, {})} for name in phases}


def split(node: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The common settings, and the phases' own."""
    own = {key: dict(value) for key, value in node.items() if isinstance(value, Mapping)}
    return {key: value for key, value in node.items() if key not in own}, own


def range_faults(node: Mapping[str, Any]) -> list[str]:
    """Rates and schedules that are out of range; imports nothing of what `node` names."""
    common, own = split(node)
    faults = _ranges(common, "optimizer")
    for name, settings in own.items():
        faults += _ranges(settings, f"optimizer.{name}")
    return faults


def faults_of(node: Mapping[str, Any], trust: Trust) -> list[str]:
    """All that is wrong with the config's `optimizer` and can be known before there is a model."""
    from torch.optim import Optimizer

    common, own = split(node)
    arguments = {k: v for k, v in common.items() if k not in Schedule.model_fields}
    faults = range_faults(node)
    faults += check(arguments, "optimizer", trust, given=("params",), kind=Optimizer)
    for name, settings in own.items():
        path = f"optimizer.{name}"
        mine = {k: v for k, v in settings.items() if k not in Schedule.model_fields}
        target = {TARGET: arguments.get(TARGET)}
        found = check({**target, **mine}, path, trust, given=("params",), kind=Optimizer)
        # A fault of the common target is told once, there.
        faults += [f for f in found if TARGET in mine or not f.startswith(f"{path}.{TARGET}")]
    return faults


def plain_settings(node: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    """A sound `optimizer` with its values as its class and the schedules have them."""
    common, own = split(node)
    settled = _plain_settings(common, trust)
    for name, settings in own.items():
        mine = _plain_settings({TARGET: common[TARGET], **settings}, trust)
        settled[name] = {key: mine[key] for key in settings}
    return settled


def _plain_settings(settings: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    schedule = {k: v for k, v in settings.items() if k in Schedule.model_fields}
    settled = Schedule.model_validate(schedule).model_dump(include=set(schedule))
    return plainly(settings, trust) | settled


def _ranges(settings: Mapping[str, Any], path: str) -> list[str]:
    rates = {k: v for k, v in settings.items() if k in Rates.model_fields}
    schedule = {k: v for k, v in settings.items() if k in Schedule.model_fields}
    return validate(Rates, rates, path) + validate(Schedule, schedule, path)
