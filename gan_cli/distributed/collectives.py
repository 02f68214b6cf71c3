"""Collective operations on tensors: averaged gradients, and synchronised batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gan_cli.distributed.ranks import Ranks


def dense(x: Tensor) -> bool:
    """Whether a tensor fills its memory without gaps, in any order of dimensions."""
    wanted = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1:
            if stride != wanted:
                return False
            wanted *= size
    return True


class Mean:
    """Averages gradients over the ranks, all of a phase in one call.

    They are copied into one buffer, which is kept between steps, and become views of it in their
    own memory formats, so that nothing is copied back.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: dict[tuple[object, ...], tuple[Tensor, list[Tensor]]] = {}

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients of `parameters`, where there are any."""
        kinds: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                kinds.setdefault(parameter.grad.dtype, []).append(parameter)
        for some in kinds.values():
            self._average(some)

    def _average(self, parameters: list[nn.Parameter]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat, views = self._buffer(parameters, gradients)
        for view, gradient in zip(views, gradients, strict=True):
            view.copy_(gradient)
        dist.all_reduce(flat)
        flat.div_(self.count)
        for parameter, view in zip(parameters, views, strict=True):
            parameter.grad = view

    def _buffer(
        self, parameters: list[nn.Parameter], gradients: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        key = tuple((id(p), g.stride()) for p, g in zip(parameters, gradients, strict=True))
        if key not in self._kept:
            size, kind = sum(g.numel() for g in gradients), gradients[0]
            flat = torch.empty(size, dtype=kind.dtype, device=kind.device)
            views, place = [], 0
            for gradient in gradients:
                piece = flat[place : place + gradient.numel()]
                layout = gradient if dense(gradient) else gradient.contiguous()
                views.append(piece.as_strided(layout.shape, layout.stride()))
                place += gradient.numel()
            self._kept[key] = flat, views
        return self._kept[key]


class _Sum(torch.autograd.Function):
    """The sum over the ranks, whose gradient is the sum of theirs, by the same function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        total = x.clone(memory_format=torch.contiguous_format)
        ranks.add(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return total(gradients[0], ctx.ranks), None


def total(x: Tensor, ranks: Ranks) -> Tensor:
    """The sum over the ranks of `x`, of one shape (together; so is its backward)."""
    summed = _Sum.apply(x, ranks)
    assert isinstance(summed, Tensor)
    return summed


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the samples of all ranks in training, computed in fp32.

    It shares the parameters and buffers of the layer that it replaces, under the same names.

    Args:
        layer: to replace; without running statistics it takes those of a batch in evaluation too.
        ranks: which have equal parts of the batch.
    """

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm, ranks: Ranks) -> None:
        recorded = layer.track_running_stats
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine, recorded)
        self.ranks = ranks
        self._parameters.update(layer._parameters)
        self._buffers.update(layer._buffers)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise [n, channels, ...]; in evaluation with the running statistics."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        over = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        mean, variance = self._statistics(x.mean(over), x.var(over, correction=0))
        if self.track_running_stats:
            numbers = self.ranks.count * x.numel() // len(mean)
            self._record(mean.detach(), variance.detach(), numbers)
        x = (x - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)

    def _statistics(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of all samples, from those of this rank's; each [channels]."""
        own = torch.stack([mean, variance])
        before = own.new_zeros(self.ranks.rank, *own.shape)
        after = own.new_zeros(self.ranks.count - self.ranks.rank - 1, *own.shape)
        means, variances = total(torch.cat([before, own[None], after]), self.ranks).unbind(1)
        mean = means.mean(0)
        return mean, (variances + (means - mean).square()).mean(0)

    @torch.no_grad()
    def _record(self, mean: Tensor, variance: Tensor, numbers: int) -> None:
        count = self.get_buffer("num_batches_tracked").add_(1)
        rate = 1 / float(count) if self.momentum is None else self.momentum
        self.get_buffer("running_mean").lerp_(mean, rate)
        self.get_buffer("running_var").lerp_(variance * (numbers / max(numbers - 1, 1)), rate)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Accept any number of dimensions."""


def synchronise(model: nn.Module, ranks: Ranks) -> None:
    """Replace every batch norm in `model` by a synchronised one."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(parent, name, SynchronisedBatchNorm(child, ranks))
