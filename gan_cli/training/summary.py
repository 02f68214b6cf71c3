"""What `dry_run=true` shows: networks layer by layer, phases, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from gan_cli.data.dataset import Dataset
from gan_cli.model import Batch, Model
from gan_cli.training.optimizers import Player


def count(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def layers(network: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every leaf layer by its path; what computes a layer's weight is part of the layer."""
    for path, module in network.named_modules(prefix=name):
        leaf = is_parametrized(module) or not any(True for _ in module.children())
        if path and leaf and "parametrizations" not in path.split("."):
            yield path, module


def trace(model: Model, batch: Batch) -> dict[str, tuple[int, ...]]:
    """The output shape of every leaf layer, by name, as each phase computes its loss."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []
    for name, module in layers(model):

        def note(_module: nn.Module, _inputs: object, out: object, name: str = name) -> None:
            if isinstance(out, Tensor):
                shapes.setdefault(name, tuple(out.shape))

        handles.append(module.register_forward_hook(note))
    try:
        for phase in model.phases():
            phase.loss(batch)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def memory(
    model: Model, players: Mapping[str, Player], dataset: Dataset, shapes: Mapping[str, tuple]
) -> dict[str, int]:
    """Bytes that a run keeps, by purpose; activations are those of two passes in fp32."""
    weights = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())
    trained = {id(p): p for player in players.values() for p in player.parameters}
    gradients = sum(p.nbytes for p in trained.values())
    states = sum(
        moments(player) * sum(p.nbytes for p in player.parameters) for player in players.values()
    )
    averages = sum(p.nbytes for module in model.averaged() for p in module.parameters())
    activations = 2 * 4 * sum(torch.Size(shape).numel() for shape in shapes.values())
    return {
        "weights": weights,
        "gradients": gradients,
        "optimizer states": states,
        "averaged weights": averages,
        "activations": activations,
        "data": dataset.values.nbytes,
    }


def moments(player: Player) -> int:
    """How many values an optimizer keeps for each parameter."""
    settings = player.optimizer.defaults
    if "betas" in settings:
        return 2
    return sum(bool(settings.get(key)) for key in ("momentum", "alpha", "centered"))


def megabytes(n: float) -> str:
    """Bytes in words."""
    return f"{n / 1e6:,.1f} MB"


def show(
    console: Console,
    model: Model,
    players: Mapping[str, Player],
    dataset: Dataset,
    batch: Batch,
) -> None:
    """Print what a run would train, how, and what memory it would take."""
    shapes = trace(model, batch)
    for name, network in model.named_children():
        if not count(network):  # what a game remembers, such as a player's past
            continue
        table = Table("layer", "", "output shape", title=f"{name}: {count(network):,} parameters")
        table.add_column("parameters", justify="right")
        for path, module in layers(network, name):
            if path in shapes:
                shape = "x".join(map(str, shapes[path]))
                kind = type_before_parametrizations(module).__name__
                table.add_row(path, kind, shape, f"{count(module):,}")
        console.print(table)

    table = Table("phase", "trains", "how often", "optimizer", "learning rate", title="phases")
    names = {id(module): name for name, module in model.named_children()}
    for phase in model.phases():
        often = f"{phase.repeat} x" if phase.repeat > 1 else "once"
        if phase.follows:
            often += f" every {phase.every} updates of {phase.follows}"
        else:
            often += f" every {phase.every} steps" if phase.every > 1 else " a step"
        if phase.start or phase.stop is not None:
            often += f", steps {phase.start} to {phase.stop if phase.stop is not None else 'end'}"
        trains = ", ".join(names.get(id(module), type(module).__name__) for module in phase.trains)
        optimizer, rate = "none: it is solved", ""
        if not phase.solved:
            player = players[phase.player]
            optimizer = f"{type(player.optimizer).__name__} ({phase.player})"
            rate = f"{player.rate:g}, {player.schedule}"
        table.add_row(phase.name, trains, often, optimizer, rate)
    console.print(table)

    needs = memory(model, players, dataset, shapes)
    table = Table("memory", title=f"about {megabytes(sum(needs.values()))} in all")
    table.add_column("", justify="right")
    for purpose, size in needs.items():
        table.add_row(purpose, megabytes(size))
    console.print(table)
