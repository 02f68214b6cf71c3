"""Gradients averaged over the ranks, all of a phase in one collective call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def dense(x: Tensor) -> bool:
    """Whether a tensor fills its memory without gaps, in whatever order of dimensions."""
    wanted = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1:
            if stride != wanted:
                return False
            wanted *= size
    return True


class Mean:
    """Makes gradients their means over the ranks.

    They are copied into one buffer, which is kept between steps, and are then views of it in their
    own memory formats, so that nothing has to be copied back.
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
