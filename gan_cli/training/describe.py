"""The output of `dry_run=true`: networks layer by layer, phases, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from gan_cli.config.schema import Settings
from gan_cli.console import PIPED_WIDTH, clean_console
from gan_cli.data.dataset import Dataset
from gan_cli.exits import DONE
from gan_cli.model import Batch, Model
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.setup import Session

if TYPE_CHECKING:
    from rich.console import Console

    from gan_cli.training.evaluator import Evaluator


def count(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def layers(network: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every leaf layer by its path; parametrizations are part of their layer."""
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
    model: Model,
    players: Mapping[str, PlayerOptimizer],
    dataset: Dataset,
    shapes: Mapping[str, tuple],
) -> dict[str, int]:
    """Bytes that a run needs, by purpose; activations are those of two passes in fp32."""
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


def moments(player: PlayerOptimizer) -> int:
    """The number of values that an optimizer keeps for each parameter."""
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
    players: Mapping[str, PlayerOptimizer],
    dataset: Dataset,
    batch: Batch,
) -> None:
    """Print the networks, phases and memory of a run."""
    from rich.table import Table

    shapes = trace(model, batch)
    for name, network in model.named_children():
        if not count(network):  # buffers of a game, such as a player's history
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


def comparable(session: Session) -> dict[str, bool | str | int | float]:
    """The settings that TensorBoard's table compares runs by."""
    settings = session.settings
    table: dict[str, bool | str | int | float] = dict(settings.choices)
    table |= {"seed": settings.seed, "batch_size": settings.batch_size}
    table |= {"ema.decay": settings.ema.decay, "precision": session.precision}
    if session.model.prior is not None:
        table["prior.dim"] = session.model.prior.dim
    table |= {f"lr.{name}": player.rate for name, player in session.players.items()}
    return table | swept(settings)


def swept(settings: Settings) -> dict[str, bool | str | int | float]:
    """The settings that vary in the run's sweep."""
    values: dict[str, bool | str | int | float] = {}
    for key in settings.sweep.keys:
        value: Any = settings.model_dump()
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):  # groups are among the choices
            values[key] = value if isinstance(value, int | float) else str(value)
    return values


def begin_text(session: Session) -> str:
    """The steps and the data of a run in a few words."""
    steps = f"{session.total:,} steps"
    if session.trainer.step:
        steps = f"step {session.trainer.step:,} to {session.total:,}"
    spec = session.dataset.spec
    shape = "x".join(map(str, spec.shape))
    return f"{steps} on {spec.size:,} samples of {spec.name} ({shape})"


def show_session(session: Session, evaluator: Evaluator | None) -> int:
    """Print the output of `dry_run=true`; the exit status."""
    if evaluator is not None:
        evaluator.check()

    screen = clean_console(PIPED_WIDTH, quiet=not session.ranks.first)
    batch = session.stream.batch(0)
    show(screen, session.model, session.players, session.dataset, batch)
    screen.print(f"runtime: {session.runtime.summary()}", highlight=False)
    for reason in session.runtime.reasons:
        screen.print(f"  {reason}", highlight=False)
    return DONE
