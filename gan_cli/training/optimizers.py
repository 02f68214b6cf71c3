"""The optimizers of a model's players, and their learning rates."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.errors import ConfigError
from gan_cli.formatting import show
from gan_cli.model import Model, Phase

RIVALS = {"fused", "foreach", "capturable", "differentiable"}  # arguments that exclude each other
# Settings of a player that are no arguments of its optimizer.
OWN = ("schedule", "warmup", "clip_norm", "final_lr", "final_betas", "schedule_steps")
# Moments that an optimizer keeps only with a setting.
ADDED = {"amsgrad": "max_exp_avg_sq", "centered": "grad_avg", "momentum": "momentum_buffer"}
LEAVE = "leave it as it was, which force=true cannot change, or start a new run with weights=RUN"
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


@dataclass
class PlayerOptimizer:
    """One optimizer, its parameters, and its learning rate as a function of the step."""

    name: str
    optimizer: Optimizer
    parameters: list[nn.Parameter]
    rate: float
    schedule: str = "constant"
    warmup: int = 0
    clip_norm: float | None = None
    final_lr: float | None = None  # at the end of the schedule; None: 0
    final_betas: Sequence[float] | None = None  # that the betas reach by it; None: they stay
    schedule_steps: int | None = None  # its length; None: the whole run
    total: int = 1  # steps of the whole run
    _rate_set: float | None = field(default=None, init=False)  # the rate of the optimizer
    _betas: Sequence[float] = field(default=(), init=False)  # at the beginning

    def __post_init__(self) -> None:
        if self.final_betas is not None:
            if "betas" not in self.optimizer.defaults:
                raise ConfigError(
                    f"optimizer.final_betas: {type(self.optimizer).__name__} has no betas; "
                    "set optimizer.final_betas=null"
                )
            self._betas = tuple(self.optimizer.defaults["betas"])

    @property
    def constant(self) -> bool:
        """Whether the rate is the same at every step."""
        return self.schedule == "constant" and not self.warmup

    @property
    def to_the_end(self) -> bool:
        """Whether its schedule is as long as the run."""
        return self.schedule != "constant" and self.schedule_steps is None

    def learning_rate(self, step: int) -> float:
        """The rate at `step`, counted from 0: `warmup` steps of linear rise times the schedule."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        factor = self.remaining(step)
        if self.final_lr is None:
            return self.rate * rise * factor
        return rise * (self.final_lr + (self.rate - self.final_lr) * factor)

    def remaining(self, step: int) -> float:
        """The share of the way to the schedule's end that is left at `step`, from 1 to 0."""
        return SCHEDULES[self.schedule](min(step / (self.schedule_steps or self.total), 1.0))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load the optimizer's moments; its settings stay as configured now.

        Raises:
            ConfigError: the moments belong to another kind of optimizer, or some are missing.
        """
        settings = [
            {key: value for key, value in group.items() if key != "params"}
            for group in self.optimizer.param_groups
        ]
        fresh = self.optimizer.state_dict()
        kept = [set(group) for group in state["param_groups"]]
        kind = type(self.optimizer).__name__
        if kept != [set(group) for group in fresh["param_groups"]]:
            raise ConfigError(f"optimizer = {kind}: the run's {self.name} had another one; {LEAVE}")
        for group in fresh["param_groups"]:
            for name, moment in ADDED.items():
                if group.get(name) and any(s and moment not in s for s in state["state"].values()):
                    raise ConfigError(
                        f"optimizer.{name} = {show(group[name])}: {kind} needs {moment}, which the "
                        f"run's {self.name} has not kept; {LEAVE}"
                    )
        self.optimizer.load_state_dict(dict(state))
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
            for parameter in group["params"]:
                moments = self.optimizer.state.get(parameter, {})
                self._place_step_counter(moments, parameter, own)
                for name, value in moments.items():
                    # Fused kernels read moments as they lie, so they must lie as the weights do.
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        moments[name] = torch.empty_like(parameter).copy_(value)

    def place_step_counters(self) -> None:
        """Move all step counters to the device where the optimizer needs them."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                self._place_step_counter(self.optimizer.state.get(parameter, {}), parameter, group)

    def _place_step_counter(
        self, state: dict[str, Any], parameter: nn.Parameter, group: Mapping[str, Any]
    ) -> None:
        if isinstance(state.get("step"), Tensor):
            there = bool(group.get("capturable") or group.get("fused"))
            state["step"] = state["step"].to(parameter.device if there else "cpu")

    def set_rate(self, step: int) -> None:
        """Set the optimizer's rate and betas to those of `step`."""
        if self.final_betas is not None:
            left = self.remaining(step)
            pairs = zip(self._betas, self.final_betas, strict=True)
            betas = tuple(final + (first - final) * left for first, final in pairs)
            for group in self.optimizer.param_groups:
                group["betas"] = betas
        rate = self.learning_rate(step)
        for group in self.optimizer.param_groups:
            if not isinstance(group["lr"], Tensor):
                group["lr"] = rate
            elif rate != self._rate_set:  # a recorded step reads it from the device
                group["lr"].fill_(rate)
        self._rate_set = rate


def parameters_of(phase: Phase) -> list[nn.Parameter]:
    """The parameters that a phase trains, each once."""
    seen = {id(p): p for module in phase.trains for p in module.parameters()}
    return list(seen.values())


def players_of(phases: list[Phase]) -> dict[str, list[nn.Parameter]]:
    """The parameters of each optimizer that the phases name; solved phases need none.

    Raises:
        ConfigError: phases that share an optimizer train different parameters, or share one that
            no phase owns.
    """
    players: dict[str, list[nn.Parameter]] = {}
    for phase in phases:
        if phase.solved:
            continue
        parameters = parameters_of(phase)
        mine = players.setdefault(phase.player, parameters)
        if {id(p) for p in mine} != {id(p) for p in parameters}:
            raise ConfigError(
                f"phase {phase.name}: shares the optimizer {phase.player} and trains other "
                "parameters than its owner; give it an optimizer of its own"
            )
    return players


def build_players(
    model: Model,
    settings: Mapping[str, Mapping[str, Any]],
    construct: Callable[[Mapping[str, Any], list[nn.Parameter]], Optimizer],
    total: int,
) -> dict[str, PlayerOptimizer]:
    """An optimizer for each player of the model.

    Args:
        model: whose phases name the players.
        settings: for each player, the optimizer's `_target_` and arguments, `schedule`, `warmup`
            `clip_norm` and what else `PlayerOptimizer` has.
        construct: builds an optimizer from its `_target_` and arguments.
        total: steps of the whole run.

    Where a phase `rescales`, its `repeat` updates after every `every` of the player's are
    compensated: the learning rate is times c = every / (every + repeat), Adam's betas to the power
    of c.
    """
    players = {}
    phases = model.phases()
    for name, parameters in players_of(phases).items():
        node = dict(settings[name])
        own = {key: node.pop(key) for key in OWN if key in node}
        optimizer = construct(node, parameters)
        rate = float(optimizer.defaults["lr"])
        for phase in phases:
            if phase.rescales and phase.player == name:
                share = phase.every / (phase.every + phase.repeat)
                rate *= share
                rescale_betas(optimizer, share)
                if own.get("final_lr") is not None:
                    own["final_lr"] *= share
                if own.get("final_betas") is not None:
                    own["final_betas"] = [beta**share for beta in own["final_betas"]]
        players[name] = PlayerOptimizer(name, optimizer, parameters, rate, **own, total=total)
    return players


def rescale_betas(optimizer: Optimizer, share: float) -> None:
    """Take Adam's betas to a power, so that its means decay as much over more updates.

    Karras et al. 2020, appendix B. Optimizers without betas stay as they are.
    """
    for settings in (optimizer.defaults, *optimizer.param_groups):
        if "betas" in settings:
            settings["betas"] = tuple(beta**share for beta in settings["betas"])


def fused(target: type, device: torch.device, given: Collection[str] = ()) -> dict[str, bool]:
    """The argument for updating all parameters in one kernel, where the optimizer has it.

    Empty where one of the `given` arguments excludes it. Adagrad of torch 2.11 takes it on a CUDA
    device and fails.
    """
    kinds = ("cpu",) if issubclass(target, torch.optim.Adagrad) else ("cpu", "cuda", "mps")
    able = device.type in kinds and not RIVALS & set(given)
    return {"fused": True} if able and "fused" in inspect.signature(target).parameters else {}


def with_rates_times(node: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The configuration `optimizer` with all learning rates times `factor`."""
    found = dict(node)
    for key, value in node.items():
        if isinstance(value, Mapping):
            found[key] = with_rates_times(value, factor)
        elif key in ("lr", "final_lr") and isinstance(value, int | float):
            found[key] = value * factor
    return found
