"""Whether a model can be stacked: found out by trying, on copies, before anything is trained."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gan_cli.config.build import Trust
from gan_cli.config.schema import Settings
from gan_cli.data.dataset import Dataset
from gan_cli.exits import one_line
from gan_cli.model import Phase
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.freezing import Focus
from gan_cli.training.session import Session, assemble
from gan_cli.training.stacked.ensemble import Ensemble
from gan_cli.training.stacked.updates import elementwise

ROUNDING, ROUNDING_BF16 = 1e-3, 5e-2  # of the largest number of a tensor
LONGEST = 120  # characters of torch's words about what it cannot do


def hindrance(members: Sequence[Settings], trust: Trust, dataset: Dataset) -> str:
    """Why these runs cannot be trained as one; empty where they can.

    Two of them compute every phase's loss and gradients stacked, and the first one does so alone.

    Args:
        members: settings that differ in their seed alone.
        trust: whose classes may be built.
        dataset: theirs.
    """
    if members[0].runtime.compile:
        return "runtime.compile = true"
    with quietly():
        single, *pair = [
            assemble(one, trust, dataset=dataset) for one in (members[0], *members[:2])
        ]
        solved = [phase.name for phase in single.model.phases() if phase.solved]
        if solved:
            return f"{solved[0]} has no optimizer"
        for name, player in single.players.items():
            if not elementwise(player.optimizer):
                kind = type(player.optimizer).__name__
                return f"optimizer.{name}: {kind} does not treat each weight by itself"
        for name, parameter in single.model.named_parameters():
            if not parameter.dim():
                return f"{name} is a single number"
        ensemble = Ensemble(pair)
        tolerance = ROUNDING_BF16 if single.precision == "bf16" else ROUNDING
        for phase, twin in zip(single.model.phases(), pair[0].model.phases(), strict=True):
            try:
                differing = list(compare(single, phase, ensemble, twin, tolerance))
            except Exception as error:
                return f"{phase.name}: {one_line(error)[:LONGEST]}"
            if differing:
                return f"{phase.name}: {differing[0]} would be another than alone"
    return ""


def compare(
    single: Session, phase: Phase, ensemble: Ensemble, twin: Phase, tolerance: float
) -> Iterator[str]:
    """What a phase makes otherwise in the stack than alone.

    Args:
        single: the first member, alone.
        phase: of its model.
        ensemble: of it and another one.
        twin: the same phase of the first model there.
        tolerance: relative to the largest number of each tensor.
    """
    step = phase.start
    Focus(single.model, phase).apply()
    for own, lead in zip(single.model.parameters(), ensemble.lead.model.parameters(), strict=True):
        own.grad = ensemble.of(lead).grad = None
    seed_streams(mix(single.settings.seed, step), single.device)
    sight = single.stream.batch(0)
    sight.step = step
    with single.trainer.precision():
        alone = phase.loss(sight)
    parameters = single.players[phase.player].parameters
    alone.total.backward(inputs=parameters if phase.shares else None)
    phase.after()

    ensemble.apply(Focus(ensemble.lead.model, twin))
    ensemble.seed_streams(step)
    batch = ensemble.batch(0, step)
    together = ensemble.loss(twin, batch)
    ensemble.backward(twin, together)
    ensemble.after(twin)

    pairs = {"its loss": (alone.total, together.total[0])}
    for name, value in alone.logs.items():
        pairs[name] = (value, together.logs[name][0])
    own_tensors = {**dict(single.model.named_parameters()), **dict(single.model.named_buffers())}
    lead = ensemble.lead.model
    for name, there in (*lead.named_parameters(), *lead.named_buffers()):
        mine, whole = own_tensors[name], ensemble.of(there)
        pairs[name] = (mine, whole[0])
        if (mine.grad is None) != (whole.grad is None):
            yield f"the gradient of {name}"
        elif mine.grad is not None and whole.grad is not None:
            pairs[f"the gradient of {name}"] = (mine.grad, whole.grad[0])
    for name, (here, there) in pairs.items():
        if not alike(here.detach(), there.detach(), tolerance):
            yield name


def alike(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether two tensors are equal but for rounding."""
    scale = float(one.abs().max()) if one.numel() else 0.0
    return torch.allclose(
        one.double(), other.double(), tolerance, tolerance * max(scale, 1e-6), equal_nan=True
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, neither the log nor torch's warnings say anything."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
