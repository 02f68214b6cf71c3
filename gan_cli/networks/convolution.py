"""Convolutions whose gradients are computed the fastest way where that is known.

In bf16 on CPUs with AMX, oneDNN computes the gradient of the weights slowly for deep layers of
small maps (256 channels and more, 8x8 and less). There it is the product of two matrices, the
patches of the one tensor and the pixels of the other. Elsewhere these layers are torch's own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn.functional import conv2d, conv_transpose2d, unfold

CHANNELS = 256  # at least
CELLS = 64  # of the smaller map, at most


@cache
def has_amx() -> bool:
    """Whether this CPU multiplies bf16 matrices in tiles; torch tells so privately."""
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(asked and asked())


def in_bf16(x: Tensor) -> bool:
    """Whether convolutions of `x` run in bf16 on a CPU that has units for it."""
    if x.device.type != "cpu" or not has_amx() or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16


class Conv2d(nn.Conv2d):
    """torch's, with one stride and one padding for both axes and no dilation or groups."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch names it so
        cells = input.shape[2] * input.shape[3] // self.stride[0] ** 2
        deep = min(self.weight.shape[:2]) >= CHANNELS and cells <= CELLS
        if not (deep and in_bf16(input) and self.weight.requires_grad):
            return super().forward(input)
        bias = None if self.bias is None else self.bias.bfloat16()
        x, weight = input.bfloat16(), self.weight.bfloat16()
        output = ByProduct.apply(x, weight, self.stride[0], int(self.padding[0]), None)
        return output if bias is None else output + bias[:, None, None]


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's, with one stride and one padding for both axes and no dilation or groups."""

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch names it so
        output_size: list[int] | None = None,
    ) -> Tensor:
        cells = input.shape[2] * input.shape[3]
        deep = min(self.weight.shape[:2]) >= CHANNELS and cells <= CELLS
        if not (deep and in_bf16(input) and self.weight.requires_grad and output_size is None):
            return super().forward(input, output_size)
        bias = None if self.bias is None else self.bias.bfloat16()
        x, weight = input.bfloat16(), self.weight.bfloat16()
        odd = (int(self.output_padding[0]), int(self.output_padding[1]))
        output = ByProduct.apply(x, weight, self.stride[0], int(self.padding[0]), odd)
        return output if bias is None else output + bias[:, None, None]


class ByProduct(Function):
    """A convolution, or with `odd` (its output padding) a transposed one, as torch computes it.

    The gradient of its weights is the sum over the batch and the cells of the smaller map of pixel
    times patch, one product of matrices. It can be differentiated again.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        stride: int,
        padding: int,
        odd: tuple[int, int] | None,
    ) -> Tensor:
        """The output; `x` [n, c, h, w]."""
        ctx.save_for_backward(x, weight)
        ctx.shape = stride, padding, odd  # type: ignore[attr-defined]
        if odd is None:
            return conv2d(x, weight, None, stride, padding)
        return conv_transpose2d(x, weight, None, stride, padding, odd)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """The gradients of `x` and of `weight`."""
        x, weight = ctx.saved_tensors
        stride, padding, odd = ctx.shape
        (grad,) = grads
        towards = None
        if ctx.needs_input_grad[0]:
            if odd is None:
                rest = [x.shape[2 + i] - _back(grad, weight, stride, padding, i) for i in (0, 1)]
                towards = conv_transpose2d(grad, weight, None, stride, padding, rest)
            else:
                towards = conv2d(grad, weight, None, stride, padding)
        if not ctx.needs_input_grad[1]:
            return towards, None, None, None, None
        small, big = (grad, x) if odd is None else (x, grad)
        patches = unfold(big, weight.shape[2:], padding=padding, stride=stride)
        pixels = small.flatten(2).transpose(0, 1).flatten(1)  # [channels, n * cells]
        product = pixels @ patches.transpose(1, 2).flatten(0, 1)
        return towards, product.view(weight.shape), None, None, None


def _back(grad: Tensor, weight: Tensor, stride: int, padding: int, axis: int) -> int:
    """The side that a transposed convolution gives without output padding."""
    return (grad.shape[2 + axis] - 1) * stride - 2 * padding + weight.shape[2 + axis]
