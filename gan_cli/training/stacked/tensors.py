"""Tensors of several members in one, of which each member's own are views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.model import Model
from gan_cli.training.trainer import Trainer


class Stack:
    """The parameters, buffers and averaged weights of the members, each [members, ...].

    From then on the members' own tensors are views of these: sampling, evaluating and saving a
    member need no copy, and what is done to its weights is done to the stack's.

    Args:
        trainers: of the members, whose models are alike.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self._of: dict[int, Tensor] = {}  # by the id of the first member's own
        self.tensors = {
            f"model.{name}": self._join([entries[name] for entries in map(owned, models(trainers))])
            for name in owned(trainers[0].model)
        }
        self.buffers = [self.of(buffer) for buffer in trainers[0].model.buffers()]
        self._averages = [join([t.average.values[n] for t in trainers]) for n in averaged(trainers)]
        self._weights = [self.of(trainers[0].average.weights[n]) for n in averaged(trainers)]
        self._focus = [(p, self.of(p)) for p in trainers[0].model.parameters()]

    def _join(self, own: Sequence[Tensor]) -> Tensor:
        whole = join(own)
        if isinstance(own[0], nn.Parameter):
            whole = nn.Parameter(whole, requires_grad=own[0].requires_grad)
        self._of[id(own[0])] = whole
        return whole

    def of(self, own: Tensor) -> Tensor:
        """The stacked tensor that the first member's `own` is a view of."""
        return self._of[id(own)]

    def follow_focus(self) -> None:
        """Freeze and free what is frozen and free in the first member's model."""
        for own, whole in self._focus:
            if whole.requires_grad is not own.requires_grad:
                whole.requires_grad_(own.requires_grad)

    def average(self, trainer: Trainer) -> None:
        """Take the weights into all members' averages, after as many steps as `trainer` has."""
        trainer.average.merge(self._averages, self._weights, trainer.step)


def models(trainers: Sequence[Trainer]) -> list[Model]:
    """Each member's model."""
    return [trainer.model for trainer in trainers]


def owned(model: Model) -> dict[str, Tensor]:
    """A model's parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def averaged(trainers: Sequence[Trainer]) -> list[str]:
    """The names of what is averaged."""
    return list(trainers[0].average.values)


def join(own: Sequence[Tensor]) -> Tensor:
    """The members' tensors in one, [members, ...]; they become views of it."""
    whole = torch.stack([tensor.data for tensor in own])
    for tensor, row in zip(own, whole, strict=True):
        tensor.data = row
    return whole


def release(trainer: Trainer) -> None:
    """Give a member tensors of its own again."""
    for tensor in (*owned(trainer.model).values(), *trainer.average.values.values()):
        tensor.data = tensor.data.clone()
    for player in trainer.players.values():
        for state in player.optimizer.state.values():
            state.update({k: v.clone() for k, v in state.items() if isinstance(v, Tensor)})
        player.house_steps()
