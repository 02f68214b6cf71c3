"""Runs that differ in their seed alone, stepped as one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.data.dataset import Dataset
from gan_cli.ensemble import functorch
from gan_cli.ensemble.state import (
    Batches,
    Stack,
    StackedMeans,
    Update,
    elementwise,
    norms,
    owned,
    release,
)
from gan_cli.ensemble.vmap import (
    Draw,
    DrawRecorder,
    OtherDrawsError,
    StackedBatch,
    StackedModel,
    Streams,
    Tensors,
    TrackedBatch,
)
from gan_cli.exits import one_line
from gan_cli.model import Batch, Loss, Phase, nothing
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.freezer import Freezer
from gan_cli.training.setup import Session, assemble

Usage = tuple[tuple[Draw, ...], bool]  # what a loss draws, and whether it reads real samples


class Ensemble:
    """Steps several trainers together, over stacked weights.

    For all others the trainers stay as they are: between two steps each can be read, sampled from
    and saved, and has what it would have alone, up to rounding.

    Args:
        sessions: of the members, all at the same step; they differ in their seeds alone.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.trainers = [session.trainer for session in sessions]
        lead = self.lead = self.trainers[0]
        self._model = StackedModel(lead.model)
        self._stack = Stack(self.trainers)
        self._updates = {
            name: Update([trainer.players[name] for trainer in self.trainers], self._stack)
            for name in lead.players
        }
        self._batches = Batches(sessions)
        self._streams = Streams()
        self._usages: dict[Callable[[Batch], Loss], Usage] = {}
        self.means = StackedMeans([trainer.window for trainer in self.trainers])
        for trainer, row in zip(self.trainers, self.means.rows, strict=True):
            trainer.window = row

    def dissolve(self) -> None:
        """Give each member tensors of its own, to train alone."""
        for trainer, row in zip(self.trainers, self.means.rows, strict=True):
            release(trainer)
            trainer.window = row.plain(trainer.model.device)

    def advance(self, measure: bool = False) -> None:
        """One step of all members, as `Trainer.advance`."""
        lead = self.lead
        for trainer in self.trainers:
            trainer.whole = False
        self.seed_streams(lead.step)
        turns = lead.turns()
        count = 1 + max((turn.place for turn in turns), default=-1)
        batches = [self.batch(lead.drawn + place, lead.step) for place in range(count)]
        applied = None
        for turn in turns:
            if turn.freezer is not applied:
                self.apply(turn.freezer)
                applied = turn.freezer
            self._update(turn.phase, batches[turn.place], measure)
        for trainer in self.trainers:
            trainer.drawn += count
            trainer.step += 1
        self._stack.average(lead)
        for trainer in self.trainers:
            trainer.whole = True

    def seed_streams(self, step: int) -> None:
        """Seed the random stream of every member for `step`."""
        self._streams.begin([mix(trainer.seed, step) for trainer in self.trainers])

    def batch(self, k: int, step: int) -> StackedBatch:
        """Batch `k` of every member, for `step`."""
        return self._batches.stacked(k, step)

    def apply(self, freezer: Freezer) -> None:
        """Freeze all that a phase does not train."""
        freezer.apply()
        self._stack.follow_freezer()

    def backward(self, phase: Phase, loss: Loss) -> None:
        """Compute the gradients of what a phase trains."""
        update = self._updates[phase.player]
        update.optimizer.zero_grad(set_to_none=True)
        loss.total.sum().backward(inputs=update.parameters if phase.shares else None)

    def after(self, phase: Phase) -> None:
        """Do what a phase does after an update."""
        if phase.after is not nothing:
            self._model.call(phase.after, self._stack.tensors)

    def of(self, own: Tensor) -> Tensor:
        """The stacked tensor, [members, ...], of the first member's `own`."""
        return self._stack.of(own)

    def _update(self, phase: Phase, batch: StackedBatch, measure: bool) -> None:
        loss = self.loss(phase, batch)
        self.backward(phase, loss)
        of_gradients: dict[str, Tensor] = {}
        if measure and phase.name == phase.player:  # not the separate updates of a lazy penalty
            of_gradients = self._norms(phase)
        self._updates[phase.player].step(self.lead.step)
        self.after(phase)
        self.means.add(phase.name, loss, of_gradients)

    def loss(self, phase: Phase, batch: StackedBatch) -> Loss:
        """A phase's loss for all members, each entry [members, ...].

        It is assumed to draw and read what it did when observed; if not, it is observed again.
        """
        if phase.loss not in self._usages:
            self._usages[phase.loss] = self._observe(phase, batch)
        begun = self._streams.made
        buffers = [buffer.clone() for buffer in self._stack.buffers]
        try:
            loss, kept = self._compute(phase, batch, self._usages[phase.loss])
        except OtherDrawsError:
            self._streams.rewind(begun)
            for buffer, before in zip(self._stack.buffers, buffers, strict=True):
                buffer.copy_(before)
            usage = self._usages[phase.loss] = self._observe(phase, batch)
            loss, kept = self._compute(phase, batch, usage)
        batch.kept.clear()
        batch.kept.update(kept)
        return loss

    def _compute(self, phase: Phase, batch: StackedBatch, usage: Usage) -> tuple[Loss, Tensors]:
        draws, wants_real = usage
        values = [self._streams.make(draw) for draw in draws]
        seen = batch if wants_real else replace(batch, real=None)
        with self.lead.precision():
            return self._model.loss(phase.loss, self._stack.tensors, seen, draws, values)

    def _observe(self, phase: Phase, batch: StackedBatch) -> Usage:
        """Compute the first member's loss alone, and note what it draws and reads."""
        lead = self.lead
        own = TrackedBatch(self._batches.one(batch, 0))
        buffers = [(buffer, buffer.clone()) for buffer in lead.model.buffers()]
        with DrawRecorder() as recorder, lead.precision():
            phase.loss(own)
        for buffer, before in buffers:
            buffer.copy_(before)
        return tuple(recorder.draws), own.wants_real

    def _norms(self, phase: Phase) -> dict[str, Tensor]:
        """As `gradient_norms`, each [members]."""
        found = {}
        for name, child in self.lead.model.named_children():
            if any(child is module for module in phase.trains):
                whole = [self._stack.of(parameter) for parameter in child.parameters()]
                gradients = [w.grad for w in whole if w.grad is not None]
                if gradients:
                    found[f"gradient_norm/{name}"] = norms(gradients)
        return found


ROUNDING, ROUNDING_BF16 = 1e-3, 5e-2  # of the largest number of a tensor
LONGEST = 120  # characters of an error of torch


def hindrance(members: Sequence[Settings], trust: Trust, dataset: Dataset) -> str:
    """Why these runs cannot be trained together; empty where they can.

    Every phase's loss and gradients of the first two, stacked, are compared with the first alone.

    Args:
        members: settings that differ in their seed alone.
        trust: the modules whose classes may be built.
        dataset: theirs.
    """
    if functorch.missing:
        return f"this version of torch cannot stack them ({functorch.missing})"
    if members[0].runtime.compile:
        return "runtime.compile = true"
    if members[0].accumulate > 1:
        return f"accumulate = {members[0].accumulate}"
    if dataset.dequantise:
        return "data.dequantise = true"
    with quietly():
        single, *pair = [
            assemble(one, trust, dataset=dataset) for one in (members[0], *members[:2])
        ]
        solved = [phase.name for phase in single.model.phases() if phase.solved]
        if solved:
            return f"{solved[0]} has no optimizer"
        if single.model.simultaneous:
            return "the players move at once"
        for name, player in single.players.items():
            if player.final_betas is not None:
                return f"optimizer.{name}.final_betas changes in training"
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
                return f"{phase.name}: {differing[0]} would differ from training alone"
    return ""


def compare(
    single: Session, phase: Phase, ensemble: Ensemble, twin: Phase, tolerance: float
) -> Iterator[str]:
    """The tensors that a phase changes otherwise in the stack than alone.

    Args:
        single: the first member, alone.
        phase: of its model.
        ensemble: of it and another one.
        twin: the same phase of the first model there.
        tolerance: relative to the largest number of each tensor.
    """
    step = phase.start
    Freezer(single.model, phase).apply()
    for own, lead in zip(single.model.parameters(), ensemble.lead.model.parameters(), strict=True):
        own.grad = ensemble.of(lead).grad = None
    seed_streams(mix(single.settings.seed, step), single.device)
    own_batch = single.stream.batch(0)
    own_batch.step = step
    with single.trainer.precision():
        alone = phase.loss(own_batch)
    parameters = single.players[phase.player].parameters
    alone.total.backward(inputs=parameters if phase.shares else None)
    phase.after()

    ensemble.apply(Freezer(ensemble.lead.model, twin))
    ensemble.seed_streams(step)
    batch = ensemble.batch(0, step)
    together = ensemble.loss(twin, batch)
    ensemble.backward(twin, together)
    ensemble.after(twin)

    pairs = {"its loss": (alone.total, together.total[0])}
    for name, value in alone.logs.items():
        pairs[name] = (value, together.logs[name][0])
    own_tensors = owned(single.model)
    for name, there in owned(ensemble.lead.model).items():
        mine, whole = own_tensors[name], ensemble.of(there)
        pairs[name] = (mine, whole[0])
        if (mine.grad is None) != (whole.grad is None):
            yield f"the gradient of {name}"
        elif mine.grad is not None and whole.grad is not None:
            pairs[f"the gradient of {name}"] = (mine.grad, whole.grad[0])
    for name, (here, there) in pairs.items():
        if not equal(here.detach(), there.detach(), tolerance):
            yield name


def equal(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether two tensors are equal up to rounding."""
    scale = float(one.abs().max()) if one.numel() else 0.0
    return torch.allclose(
        one.double(), other.double(), tolerance, tolerance * max(scale, 1e-6), equal_nan=True
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, messages and warnings are dropped."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
