"""A model's loss for all members at once: `torch.vmap` over weights, buffers, samples and noise.

Within vmap, random functions take what was drawn beforehand, and torch's own `autograd.grad`, which
vmap does not know, is taken of all members together: none depends on another, so the gradient of
the sum of their outputs is each one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import (
    _add_batch_dim,
    get_unwrapped,
    is_batchedtensor,
    maybe_get_bdim,
    maybe_get_level,
)
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.func import functional_call, vmap
from torch.nn.functional import group_norm, layer_norm
from torch.overrides import TorchFunctionMode

from gan_cli.model import Batch, Loss
from gan_cli.training.stacked.draws import FUNCTIONS, Draw, Tape

GRADIENT = Tensor.grad.__get__  # type: ignore[attr-defined]
LEAF = Tensor.requires_grad_
# What vmap would do to one member after the other.
IN_PLACE = {Tensor.clamp_: torch.clamp, Tensor.lerp_: torch.lerp}


class Inside(TorchFunctionMode):
    """What functions do that vmap cannot do itself.

    Args:
        tape: of the numbers that random functions give.
        level: of vmap.
    """

    def __init__(self, tape: Tape, level: int) -> None:
        super().__init__()
        self.tape, self.level = tape, level

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        if func in FUNCTIONS and kwargs.get("generator") is None:
            return self.tape.next(func, args, kwargs)
        if func is torch.autograd.grad:
            return self._gradients(*args, **kwargs)
        if func in IN_PLACE and is_batchedtensor(args[0]):
            return args[0].copy_(IN_PLACE[func](*args, **kwargs))
        if func is group_norm:
            return grouped(*args, **kwargs)
        if func is LEAF and is_batchedtensor(args[0]):
            with temporarily_clear_interpreter_stack():
                LEAF(get_unwrapped(args[0]), *args[1:], **kwargs)
            return args[0]
        if func == GRADIENT and is_batchedtensor(args[0]):
            gradient = get_unwrapped(args[0]).grad
            return None if gradient is None else _add_batch_dim(gradient, 0, self.level)
        return func(*args, **kwargs)

    def _gradients(
        self,
        outputs: Tensor | Sequence[Tensor],
        inputs: Tensor | Sequence[Tensor],
        grad_outputs: object = None,
        **kwargs: Any,
    ) -> tuple[Tensor | None, ...]:
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        inputs = [inputs] if isinstance(inputs, Tensor) else inputs
        if grad_outputs is not None:
            raise NotImplementedError("torch.autograd.grad with grad_outputs cannot be stacked")
        with temporarily_clear_interpreter_stack():
            sums = [get_unwrapped(one).sum() for one in outputs]
            found = torch.autograd.grad(sums, [get_unwrapped(one) for one in inputs], **kwargs)
        return tuple(
            None if one is None else _add_batch_dim(one, maybe_get_bdim(x), self.level)
            for one, x in zip(found, inputs, strict=True)
        )


def grouped(
    input: Tensor,  # noqa: A002 - torch's names
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`group_norm` of [n, channels, ...]; torch's own asks for a memory format within vmap."""
    groups = input.reshape(len(input), num_groups, -1)
    shown = layer_norm(groups, groups.shape[2:], eps=eps).reshape(input.shape)
    for each, join in ((weight, torch.mul), (bias, torch.add)):
        if each is not None:
            shown = join(shown, each.view(-1, *[1] * (input.dim() - 2)))
    return shown


Tensors = dict[str, Tensor]


class Asked(Batch):
    """A batch that notes what a loss reads of it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch.index, lambda index: batch.real, lambda index: batch.labels)
        self.step, self.kept = batch.step, dict(batch.kept)

    @property
    def wants_real(self) -> bool:
        """Whether the real samples were asked for."""
        return "real" in self.__dict__  # where a cached property keeps its value


@dataclass(frozen=True)
class Given:
    """What a loss sees of a batch, for all members; all tensors are [members, ...]."""

    index: Tensor
    real: Tensor | None
    labels: Tensor | None
    kept: Tensors
    step: int


class Stage(nn.Module):
    """Calls a bound method of the model as a function of the model's weights and buffers.

    Args:
        model: whose methods are called; its own weights are not looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: Callable[..., Any], *args: Any) -> Any:
        return method(*args)

    def loss(
        self,
        method: Callable[[Batch], Loss],
        tensors: Tensors,
        batch: Given,
        draws: Sequence[Draw],
        values: Sequence[Tensor],
    ) -> tuple[Loss, Tensors]:
        """A phase's loss for all members, each entry [members, ...]; and what the batch keeps.

        Args:
            method: the model's, which computes it.
            tensors: parameters and buffers by name, [members, ...]; buffers change in place.
            batch: of all members.
            draws: what the loss draws at random.
            values: those numbers, each [members, ...].

        Raises:
            OtherDrawsError: it wants to draw something else; buffers may have changed.
        """
        data = {"index": batch.index, "real": batch.real, "labels": batch.labels}
        data = {name: value for name, value in data.items() if value is not None}

        def one(
            tensors: Tensors, data: Tensors, kept: Tensors, values: Sequence[Tensor]
        ) -> tuple[Loss, Tensors]:
            own = Batch(data["index"], lambda _: data["real"], lambda _: data.get("labels"))
            own.step, own.kept = batch.step, dict(kept)
            tape = Tape(draws, values)
            with Inside(tape, level(data["index"])):
                found = functional_call(self, tensors, (method, own))
            tape.finish()
            # A member's own entries: what does not depend on it is the same for all.
            return Loss(found.total, dict(found.logs), dict(found.outputs)), own.kept

        return vmap(one)(dict(tensors), data, dict(batch.kept), list(values))

    def call(self, method: Callable[[], object], tensors: Tensors) -> None:
        """Have all members do what changes their weights and buffers in place."""

        def one(tensors: Tensors) -> Tensor:
            with Inside(Tape((), ()), level(next(iter(tensors.values())))):
                functional_call(self, tensors, (method,))
            return next(iter(tensors.values())).new_zeros(())

        vmap(one)(dict(tensors))


def level(batched: Tensor) -> int:
    """That of the vmap which a tensor within it belongs to."""
    return maybe_get_level(batched)
