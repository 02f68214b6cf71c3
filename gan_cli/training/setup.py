"""Data, model, optimizers and trainer, built from the settings."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.optim import Optimizer

from gan_cli.callbacks.callback import check_callbacks
from gan_cli.config.instantiate import Trust, build, resolve
from gan_cli.config.schema import Settings
from gan_cli.config.settings import optimizer_settings
from gan_cli.data.dataset import Dataset
from gan_cli.data.stream import Stream
from gan_cli.device import place
from gan_cli.distributed.ranks import ALONE, Ranks
from gan_cli.ema import Average
from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec, Model
from gan_cli.optimizers import substitute
from gan_cli.runs import weights
from gan_cli.seeding import mix
from gan_cli.training import runtime, trial
from gan_cli.training.accumulation import prepare_accumulation
from gan_cli.training.cuda_graphs import CudaRecorder, Graphs, hindrance, make_capturable
from gan_cli.training.optimizers import (
    PlayerOptimizer,
    build_players,
    fused,
    players_of,
)
from gan_cli.training.runtime import Runtime, prepare_for_ranks
from gan_cli.training.trainer import Trainer, steps_for

log = logging.getLogger(__name__)
WEIGHTS = 1  # the random stream of the initial weights


@dataclass
class Session:
    """The parts of a run, ready to train or to load a state."""

    settings: Settings
    runtime: Runtime
    dataset: Dataset
    model: Model
    stream: Stream
    players: Mapping[str, PlayerOptimizer]
    trainer: Trainer
    total: int  # steps
    warnings: Sequence[str]  # about the user's choices
    trust: Trust  # whose classes may be built
    ranks: Ranks = ALONE  # who train it together
    command: str = ""  # that was typed, for a shell
    silent: Sequence[str] = ()  # callbacks that are left out, by name

    @property
    def device(self) -> torch.device:
        """The device of the run."""
        return self.runtime.device

    @property
    def precision(self) -> str:
        """The precision of the run."""
        return self.runtime.precision


def assemble(
    settings: Settings, trust: Trust, ranks: Ranks = ALONE, dataset: Dataset | None = None
) -> Session:
    """Build everything that `settings` describe, for this one of the `ranks`.

    The data are built too, unless given.

    Raises:
        ConfigError: the parts do not fit together, or not on this machine.
        DataError: the data are not available.
    """
    check_callbacks(settings.callbacks, trust)
    wanted = settings.runtime.model_copy(update={"device": ranks.device(settings.runtime.device)})
    chosen = runtime.decide(wanted)
    runtime.prepare(chosen)
    device = chosen.device

    if dataset is None:
        built: Dataset = build(settings.data, "data", trust, outputs=settings.outputs)
        dataset = built.to(device)
    if not dataset.spec.is_image:
        chosen = runtime.without_images(chosen, settings.runtime, dataset.spec.is_text)
    part = ranks.rank, ranks.count
    stream = Stream(dataset, settings.batch_size, settings.seed, device, part)

    kind = resolve(settings.model["_target_"], trust, "model")
    own = kind.__module__.startswith("gan_cli.")  # another's class may do with them what it likes
    if dataset.spec.is_text and own and not getattr(kind, "sentences", False):
        name = settings.choices.get("model", kind.__name__)
        raise ConfigError(
            f"model = {name}: works on images or points, and data = {dataset.spec.name} holds "
            "sentences; use model=seqgan or model=text_wgan"
        )
    torch.manual_seed(mix(settings.seed, WEIGHTS))
    with warnings_in_the_log() as said:
        model: Model = build(
            settings.model,
            "model",
            trust,
            shared=settings.nodes,
            data=dataset.spec,
            truth=dataset.log_density,
        )
        check_batch(settings.batch_size, model, dataset.spec)
    if not isinstance(model, Model):
        raise ConfigError(
            f"model._target_ = {settings.model['_target_']}: must be a gan_cli.model.Model"
        )
    if settings.batch_size % model.pack:
        whole = (settings.batch_size // model.pack + 1) * model.pack
        raise ConfigError(
            f"batch_size = {settings.batch_size}: must be a multiple of model.packing = "
            f"{model.pack}; set batch_size={whole}"
        )
    if settings.batch_size < model.smallest_batch:
        raise ConfigError(
            f"batch_size = {settings.batch_size}: {type(model).__name__} needs at least "
            f"{model.smallest_batch} samples at a time; set batch_size={model.smallest_batch}"
        )
    if dataset.flips and model.by_place:
        raise ConfigError(
            f"data.flip = true: {type(model).__name__} learns a code of each image, which a "
            "mirrored one does not have; set data.flip=false"
        )
    said += prepare_for_ranks(model, settings, ranks)
    said += prepare_accumulation(model, settings, ranks)
    place(model, device, chosen.channels_last)
    model.train()
    if settings.runtime.compile:
        if model.second_order:
            raise ConfigError(
                "runtime.compile = true: torch cannot compile a penalty on gradients, which needs "
                "their derivatives; set runtime.compile=false, or another penalty"
            )
        for child in model.children():
            child.compile()

    total = steps(settings, model, dataset)
    every = settings.evaluation.every
    if every is not None and every > total:
        said.append(
            f"evaluation.every = {every:,}: the run ends before, after {total:,} steps, so it is "
            "evaluated at its start alone"
        )
        log.warning(said[-1])
    names = list(players_of(model.phases()))
    options = optimizer_settings(settings.optimizer, names)
    construct = constructor(trust, device)
    precisions, counts = runtime.to_try(chosen, settings.runtime)
    if len(precisions) * len(counts) > 1 and ranks.count == 1:

        def step(precision: str) -> Callable[[], object]:
            twin = copy.deepcopy(model)
            players = build_players(twin, options, construct, total)
            none = Average(twin, 0.0)
            autocast = precision == "bf16"
            return Trainer(
                twin,
                players,
                stream.batch,
                settings.seed,
                none,
                autocast,
                accumulate=settings.accumulate,
            ).advance

        of_model = identity(settings, dataset.spec)
        precision, count, lines = trial.fastest(step, of_model, precisions, counts)
        reasons = (*chosen.reasons, *lines)
        chosen = replace(chosen, precision=precision, threads=count, reasons=reasons)
        torch.set_num_threads(count)
    # A resumed run keeps its precision, on whatever machine, and the threads that a trial chose.
    kept: dict[str, object] = {"precision": chosen.precision}
    if len(counts) > 1 and ranks.count == 1:
        kept["threads"] = chosen.threads
    decided = settings.runtime.model_copy(update=kept)
    settings = settings.model_copy(update={"runtime": decided})
    players = build_players(model, options, construct, total)
    chosen = with_graphs(chosen, settings, dataset, players, ranks.count)
    trainer = Trainer(
        model,
        players,
        stream.batch,
        settings.seed,
        Average(model, settings.ema.decay, settings.ema.warmup, settings.ema.ramp),
        autocast=chosen.precision == "bf16",
        graphs=Graphs(CudaRecorder(device)) if chosen.graphs else None,
        gather=ranks.gather(),
        level=ranks.average if ranks.count > 1 else None,
        drawing=ranks.drawing(model.rows(settings.batch_size // ranks.count)),
        accumulate=settings.accumulate,
    )
    return Session(
        settings, chosen, dataset, model, stream, players, trainer, total, said, trust, ranks
    )


def load_weights(session: Session) -> None:
    """Begin with the weights that the settings name, if any.

    Raises:
        UserError: they cannot be read, or do not fit.
    """
    chosen = session.settings.weights
    if chosen.source is None:
        return
    trust = session.trust.for_run(Path(chosen.source))
    saved = weights.read(chosen.source, chosen.averaged, trust)
    left = weights.start_from(session.model, saved, chosen.strict)
    session.trainer.average.load_state_dict({})  # which begins with them, too
    log.info(f"begins with the weights of {saved.place}")
    if left:
        listed = "".join(f"\n  {line}" for line in left)
        warning = f"weights.strict = false: these of {saved.place} are not taken:{listed}"
        log.warning(warning)
        session.warnings = [*session.warnings, warning]


def identity(settings: Settings, data: DataSpec) -> dict[str, Any]:
    """Whatever the speed of a model's updates depends on."""
    parts = {"model": settings.model, "shared": settings.nodes, "optimizer": settings.optimizer}
    return {
        **parts,
        "batch_size": settings.batch_size,
        "accumulate": settings.accumulate,
        "shape": data.shape,
        "classes": data.classes,
    }


def check_batch(size: int, model: object, data: DataSpec) -> None:
    """Warn of a batch that repeats samples, or is too small for batch norm.

    Raises:
        ConfigError: batch norm of single values is impossible.
    """
    if size > data.size:
        warnings.warn(
            f"batch_size = {size}: more than the {data.size} samples of {data.name}, so each batch "
            "holds some of them several times",
            stacklevel=2,
        )
    layers = list(model.modules()) if isinstance(model, nn.Module) else []
    if size > 1 or not any(isinstance(layer, BatchNorm) for layer in layers):
        return
    why = "batch_size = 1: batch norm takes mean and deviation over the batch"
    instead = "set batch_size=2 or more, or a network without batch norm"
    if any(isinstance(layer, nn.BatchNorm1d) for layer in layers):
        raise ConfigError(f"{why}, of which one sample has none; {instead}")
    warnings.warn(f"{why}, here over a single image; {instead}", stacklevel=2)


def with_graphs(
    chosen: Runtime,
    settings: Settings,
    dataset: Dataset,
    players: Mapping[str, PlayerOptimizer],
    ranks: int,
) -> Runtime:
    """The runtime with residence of the data and CUDA graphs decided; prepares optimizers for them.

    Raises:
        ConfigError: CUDA graphs are required and impossible.
    """
    resident = dataset.resident
    reason = hindrance(
        settings.runtime.graphs,
        chosen.device,
        resident=resident,
        compiled=settings.runtime.compile,
        ranks=ranks,
        accumulate=settings.accumulate,
        steady=all(player.final_betas is None for player in players.values()),
        optimizers=[player.optimizer for player in players.values()],
    )
    for player in players.values() if not reason else ():
        make_capturable(player)
    reasons = chosen.reasons
    if not resident and chosen.device.type != "cpu":
        reasons += (f"data in host memory: {dataset.values.nbytes / 1e9:.1f} GB do not fit",)
    if reason and chosen.device.type == "cuda":
        reasons += (f"CUDA graphs off: {reason}",)
    return replace(chosen, resident=resident, graphs=not reason, reasons=reasons)


def steps(settings: Settings, model: Model, dataset: Dataset) -> int:
    """The length of the run in steps, from steps, epochs or images."""
    if settings.steps is not None:
        return settings.steps
    images = settings.images
    if images is None:
        assert settings.epochs is not None, "validation leaves one of the three"
        images = settings.epochs * dataset.spec.size
    return steps_for(model.phases(), images / settings.batch_size)


def constructor(
    trust: Trust, device: torch.device
) -> Callable[[Mapping[str, Any], list[nn.Parameter]], Optimizer]:
    """Builds optimizers of trusted classes, fused where the device supports it."""

    def construct(node: Mapping[str, Any], parameters: list[nn.Parameter]) -> Optimizer:
        target = resolve(node["_target_"], trust, path="optimizer")
        if target is torch.optim.LBFGS:
            raise ConfigError(
                "optimizer._target_ = torch.optim.LBFGS: evaluates the loss several times a step, "
                "which adversarial training does not offer; use torch.optim.Adam or another"
            )
        faster = fused(target, device, node)
        node = {**node, **faster}
        return build(node, "optimizer", trust, instead=substitute, params=parameters)

    return construct


@contextmanager
def warnings_in_the_log() -> Iterator[list[str]]:
    """Within it, warnings about the user's choices go to the log and to the yielded list."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        try:
            yield lines
        finally:
            lines += [str(warning.message) for warning in heard]
            for line in lines:
                log.warning(line)
