"""The output of `dry_run=true`: networks layer by layer, updates, parts, memory and time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from gan_cli.callbacks.progress import announce, stretches
from gan_cli.config.schema import Settings
from gan_cli.console import PIPED_WIDTH, clean_console
from gan_cli.data.dataset import Dataset
from gan_cli.device import resident
from gan_cli.exits import DONE
from gan_cli.formatting import counted, literal
from gan_cli.model import Batch, Model, Phase
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.setup import Session
from gan_cli.training.trainer import changes

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
    trained = {id(p): p for player in players.values() for p in player.parameters}
    gradients = sum(p.nbytes for p in trained.values())
    activations = 2 * 4 * sum(torch.Size(shape).numel() for shape in shapes.values())
    needs = {"gradients": gradients, "activations": activations, "data": dataset.values.nbytes}
    return state(model, players) | needs


def state(model: Model, players: Mapping[str, PlayerOptimizer]) -> dict[str, int]:
    """Bytes of what a checkpoint holds, by purpose."""
    weights = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())
    states = sum(
        moments(player) * sum(p.nbytes for p in player.parameters) for player in players.values()
    )
    averages = sum(p.nbytes for module in model.averaged() for p in module.parameters())
    return {"weights": weights, "optimizer states": states, "averaged weights": averages}


FRAME, POINT = 60_000, 6_000  # bytes of a checkpoint beside its tensors, and of a point of curves


def disk(session: Session) -> tuple[str, str]:
    """The room that a run takes on the disk, and of what; pictures and evaluations are on top."""
    settings, total = session.settings, session.total
    chosen = settings.checkpoint
    kept = total // chosen.every if chosen.every else 0
    kept = kept if chosen.keep is None else min(kept, chosen.keep)
    copies = 1 + kept + (settings.evaluation.every is not None)  # last and best
    each = FRAME + sum(state(session.model, session.players).values())
    points = total // settings.log_every * POINT
    room = megabytes(copies * each + points)
    parts = f"{counted(copies, 'checkpoint')} of {megabytes(each)}, curves; pictures on top"
    return room, f"disk: about {room} at most: {parts}"


def moments(player: PlayerOptimizer) -> int:
    """The number of values that an optimizer keeps for each parameter."""
    settings = player.optimizer.defaults
    if "betas" in settings:
        return 2
    return sum(bool(settings.get(key)) for key in ("momentum", "alpha", "centered"))


def megabytes(n: float) -> str:
    """Bytes in words."""
    return f"{n / 1e6:,.1f} MB"


def show(console: Console, session: Session) -> None:
    """Print the networks, what each phase updates, the other parts and the memory of a run."""
    from rich.table import Table

    model, players = session.model, session.players
    shapes = trace(model, session.stream.batch(0))
    networks = {name: network for name, network in model.named_children() if count(network)}
    for name, network in networks.items():  # others are buffers, such as a player's history
        table = Table(title=f"{name}: {count(network):,} parameters", show_footer=True)
        table.add_column("layer", "total")
        table.add_column("type")
        table.add_column("output shape")
        table.add_column("parameters", f"{count(network):,}", justify="right")
        for path, module in layers(network, name):
            if path in shapes:
                shape = "x".join(map(str, shapes[path]))
                kind = type_before_parametrizations(module).__name__
                table.add_row(path.removeprefix(f"{name}."), kind, shape, f"{count(module):,}")
        console.print(table)

    table = Table("phase", "trains", "updates", "optimizer", "schedule", title="updates of a step")
    names = {id(module): name for name, module in model.named_children()}
    for phase in model.phases():
        trains = ", ".join(names.get(id(module), type(module).__name__) for module in phase.trains)
        optimizer, schedule = "none: it is solved", ""
        if not phase.solved:
            player = players[phase.player]
            optimizer, schedule = optimizer_text(player), schedule_text(player)
            if phase.player != phase.name:
                optimizer = f"that of {phase.player}"
        table.add_row(phase.name, trains, often(phase), optimizer, schedule)
    console.print(table)

    table = Table("part", "choice", "settings", title="parts")
    for name, choice, settings in parts(session.settings):
        table.add_row(name, choice, settings)
    console.print(table)

    needs = memory(model, players, session.dataset, shapes)
    table = Table(title="memory expected", show_footer=True)
    table.add_column("of", "total, about")
    table.add_column("size", megabytes(sum(needs.values())), justify="right")
    for purpose, size in needs.items():
        table.add_row(purpose, megabytes(size))
    console.print(table)


def often(phase: Phase) -> str:
    """The updates of a phase in words."""
    text = f"{phase.repeat} x" if phase.repeat > 1 else "1 x"
    if phase.follows:
        text += f", every {phase.every} updates of {phase.follows}"
    elif phase.every > 1:
        text += f", every {phase.every} steps"
    if phase.start or phase.stop is not None:
        text += f", steps {phase.start} to {'end' if phase.stop is None else phase.stop}"
    return text


SHOWN = ("betas", "alpha", "momentum", "weight_decay")  # settings of optimizers, where not zero


def optimizer_text(player: PlayerOptimizer) -> str:
    """An optimizer with its rate and the settings that papers state."""
    have = player.optimizer.defaults
    more = [f"{key} {literal(have[key])}" for key in SHOWN if have.get(key)]
    return ", ".join([f"{type(player.optimizer).__name__} lr {player.rate:g}", *more])


def schedule_text(player: PlayerOptimizer) -> str:
    """A learning rate's schedule, and what else is done to updates."""
    text = player.schedule
    text += f", warm-up {player.warmup:,}" if player.warmup else ""
    return text + (f", clip norm {player.clip_norm:g}" if player.clip_norm is not None else "")


def parts(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Those parts that the model takes, each with its option and its plain settings."""
    for name in ("loss", "penalty", "prior"):
        if name in settings.model:
            node = {key: v for key, v in settings.nodes[name].items() if key != "_target_"}
            plain = {key: v for key, v in node.items() if not isinstance(v, dict)}
            text = ", ".join(f"{key} {literal(value)}" for key, value in plain.items())
            yield name, settings.choices.get(name, ""), text
    yield "batch", f"{settings.batch_size}", "samples per update"
    yield "averaging", f"{settings.ema.decay:g}", "decay of the weights that sampling uses"


MEASURED = 2.0  # seconds of steps by which the time of a run is expected
MOST = 100  # steps


def measure(session: Session) -> list[tuple[int, float]]:
    """Steps per second, and the step until which each pace holds, from step 0 to the end.

    Each is measured where its updates begin, without the first steps. The session is not to be
    used afterwards.
    """
    ends = [*changes(session.model.phases(), session.total), session.total]
    return [(end, _pace(session, begin, end)) for begin, end in pairwise([0, *ends])]


def _pace(session: Session, begin: int, end: int) -> float:
    """Steps per second of the updates that are made between two steps."""
    trainer, ranks = session.trainer, session.ranks
    trainer.step = begin
    for _ in range(3 if session.runtime.graphs else 1):
        trainer.advance()
    trainer.window.means()  # waits for the device
    if trainer.step >= end:
        trainer.step = begin
    most = min(MOST, end - trainer.step)
    begun, steps, enough = time.monotonic(), 0, False
    while not enough:
        trainer.advance()
        steps += 1
        trainer.window.means()
        passed = time.monotonic() - begun
        enough = ranks.share(passed >= MEASURED or steps >= most)
    return steps / (time.monotonic() - begun)


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
    model, limit = session.settings.choices.get("model", "model"), session.settings.max_time
    weights = f"{count(session.model):,} parameters"
    screen.print(f"{model}: {begin_text(session)}, {weights}", highlight=False)
    show(screen, session)
    screen.print(disk(session)[1], highlight=False)
    screen.print(f"runtime: {session.runtime.summary()}", highlight=False)
    for reason in session.runtime.reasons:
        screen.print(f"  {reason}", highlight=False)
    screen.print("the time is measured by some steps, which change nothing:", highlight=False)
    paces = measure(session)
    first, *more = announce(0, session.total, paces, limit, limit)
    if len(paces) > 1:
        more += stretches(paces)
    for line in (f"time: {first}", *(f"  {line}" for line in more)):
        screen.print(line, highlight=False)
    own = resident().get("memory/own_megabytes")
    now = f"; this process: {own:,.0f} MB" if own else ""
    screen.print(f"  measured; pictures and evaluations come on top{now}", highlight=False)
    return DONE
