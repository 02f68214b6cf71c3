"""Convolutions as products of matrices, on CPUs and for the shapes where that is faster.

oneDNN reaches 40 to 60 % of a CPU's peak on the deepest maps of a DCGAN (3x3 and 4x4 cells, many
channels), less for the weights' gradient in bf16, and 10 % on the generator's first layer; one
product of matrices over all patches reaches 90 % (`python -m benchmarks.convolutions`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn.functional import conv2d, conv_transpose2d, pad

from gan_cli.device import cpu_reports, processor

FEWEST = {9: 2**19, 16: 2**21}  # weights for which products pay, by cells of the smaller map
CELLS = 64  # the most for which the weights' gradient in bf16 does
CHANNELS = {"amx_tile": 256, "avx512_bf16": 128}  # the fewest, by the CPU's units for bf16


def bf16_units() -> str:
    """The CPU's units for bf16, of tiles or vectors, or nothing."""
    return next((unit for unit in CHANNELS if cpu_reports(unit)), "")


def multiplies_fully() -> bool:
    """Whether products of fp32 matrices use all that oneDNN's convolutions use of this CPU.

    torch has them from MKL, which uses AVX512 on Intel's CPUs alone.
    """
    return not cpu_reports("avx512") or "Intel" in processor()


# Constants, as the queries are slow, and break the graphs of torch's compiler.
BF16_UNITS, MULTIPLIES_FULLY = bf16_units(), multiplies_fully()


@dataclass(frozen=True)
class Shape:
    """The maps of a convolution.

    Args:
        big: height and width of its input.
        small: of its output.
        kernel: height and width.
        stride: of both axes.
        padding: of both axes.
        whole: whether products compute all of it, or only the weights' gradient.
    """

    big: tuple[int, int]
    small: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    padding: int
    whole: bool

    @classmethod
    def of(cls, layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, whole: bool) -> Shape:
        """The shape of a layer on `x` [n, c, h, w]; a transposed one's input is the small map."""
        tall, broad = layer.kernel_size
        kernel, stride, padding = (tall, broad), layer.stride[0], int(layer.padding[0])
        small = big = (x.shape[2], x.shape[3])
        if isinstance(layer, nn.ConvTranspose2d):
            least, odd = grown(small, kernel, stride, padding), layer.output_padding
            big = least[0] + int(odd[0]), least[1] + int(odd[1])
        else:
            high, wide = (big[i] + 2 * padding - kernel[i] for i in (0, 1))
            small = high // stride + 1, wide // stride + 1
        return cls(big, small, kernel, stride, padding, whole)


class Conv2d(nn.Conv2d):
    """torch's, with one stride and one padding for both axes and no dilation or groups."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch names it so
        shape = chosen(self, input)
        return super().forward(input) if shape is None else by_product(self, input, shape)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's, with one stride and one padding for both axes and no dilation or groups."""

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch names it so
        output_size: list[int] | None = None,
    ) -> Tensor:
        if output_size is not None or input.device.type != "cpu":
            return super().forward(input, output_size)
        plain = self.padding == self.output_padding == (0, 0)
        if plain and input.shape[2:] == (1, 1):
            return self.from_vector(input)
        if (shape := chosen(self, input)) is not None:
            return by_product(self, input, shape)
        geometry = self.stride, tuple(map(int, self.padding)), self.output_padding
        others = self.groups, self.dilation
        return plus(conv_transpose2d(input, self.weight, None, *geometry, *others), self.bias)

    def from_vector(self, x: Tensor) -> Tensor:
        """The output on a map of one cell: a linear layer's, seen as a map."""
        weight = self.weight.permute(0, 2, 3, 1)  # a view of a channels_last weight
        output = (x.flatten(1) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        return plus(output.permute(0, 3, 1, 2), self.bias)


def plus(maps: Tensor, bias: Tensor | None) -> Tensor:
    """Maps and a bias for each channel.

    Within a transposed convolution on a CPU the bias' gradient takes as long as the convolution.
    """
    return maps if bias is None else maps + bias.to(maps.dtype)[:, None, None]


def chosen(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Shape | None:
    """The shape for `ByProduct` where that is faster, else None.

    All of it for small maps under many weights, in fp32 where products are as fast as they can be
    and in bf16 where its units are vectors; on larger maps in bf16 the gradient of weights that are
    not frozen.
    """
    if x.device.type != "cpu":
        return None
    units = ""
    if half := torch.is_autocast_enabled("cpu"):
        units = BF16_UNITS
        if not units or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            return None
    elif x.dtype != torch.float32 or not MULTIPLIES_FULLY:
        return None
    shape = Shape.of(layer, x, whole=True)
    cells, channels = shape.small[0] * shape.small[1], min(layer.weight.shape[:2])
    fewest = next((few for most, few in FEWEST.items() if cells <= most), None)
    if fewest is not None and layer.weight.numel() >= fewest and units != "amx_tile":
        return shape
    if half and cells <= CELLS and channels >= CHANNELS[units] and layer.weight.requires_grad:
        return replace(shape, whole=False)
    return None


def by_product(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, shape: Shape) -> Tensor:
    """The layer's output on `x`, by `ByProduct`."""
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    kind: Part = "small" if isinstance(layer, nn.Conv2d) else "big"
    return plus(ByProduct.apply(kind, x.to(dtype), layer.weight.to(dtype), shape), layer.bias)


Part = Literal["small", "big", "weight"]


class ByProduct(Function):
    """One of a convolution's three products, each of which is the gradient of the other two.

    With x the big map, y the small one and W the weights, <y, conv(x, W)> is linear in each of the
    three. Its gradient is in y ("small") the convolution, in x ("big") the transposed convolution
    and in W ("weight") the sum over batch and cells of pixel times patch. So the gradients of each
    are products of the same kind, to any order.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(part: Part, left: Tensor, right: Tensor, shape: Shape) -> Tensor:
        """The product.

        Args:
            part: which.
            left: x for "small" and "weight", y for "big".
            right: W for "small" and "big", y for "weight".
            shape: of the convolution.
        """
        if part == "weight":
            pixels = right.permute(0, 2, 3, 1).flatten(0, 2)
            product = pixels.t() @ patches(left, shape)
            return product.unflatten(1, (*shape.kernel, -1)).permute(0, 3, 1, 2)
        if not shape.whole:
            if part == "small":
                return conv2d(left, right, None, shape.stride, shape.padding)
            least = grown(shape.small, shape.kernel, shape.stride, shape.padding)
            odd = [side - without for side, without in zip(shape.big, least, strict=True)]
            return conv_transpose2d(left, right, None, shape.stride, shape.padding, odd)
        matrix = right.permute(0, 2, 3, 1).flatten(1)  # a view of a channels_last weight
        if part == "small":
            product = patches(left, shape) @ matrix.t()
            return product.unflatten(0, (-1, *shape.small)).permute(0, 3, 1, 2)
        return folded(left.permute(0, 2, 3, 1).flatten(0, 2) @ matrix, shape)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Save the factors."""
        del output
        part, left, right, shape = inputs
        ctx.save_for_backward(left, right)
        ctx.product = part, shape  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        """The gradients of both factors."""
        left, right = ctx.saved_tensors
        part, shape = ctx.product
        (grad,) = grads
        of_left = of_right = None
        if ctx.needs_input_grad[1]:  # of x, of y, of x
            factors = {"small": (grad, right), "big": (grad, right), "weight": (right, grad)}[part]
            of_left = ByProduct.apply("small" if part == "big" else "big", *factors, shape)
        if ctx.needs_input_grad[2]:  # of W, of W, of y
            factors = {"small": (left, grad), "big": (grad, left), "weight": (left, grad)}[part]
            of_right = ByProduct.apply("small" if part == "weight" else "weight", *factors, shape)
        return None, of_left, of_right, None


def patches(x: Tensor, shape: Shape) -> Tensor:
    """The patch under each cell of the small map, [n * cells, height * width * channels]."""
    around = shape.padding
    padded = pad(x.permute(0, 2, 3, 1), (0, 0, around, around, around, around))
    seen = padded.unfold(1, shape.kernel[0], shape.stride).unfold(2, shape.kernel[1], shape.stride)
    return seen.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 2)


def folded(columns: Tensor, shape: Shape) -> Tensor:
    """The big map that patches add up to, [n, channels, height, width].

    In bf16 they are added in bf16, which rounds 1.4 times as much as oneDNN does; fp32 sums would
    take three times as long.
    """
    (high, wide), (tall, broad), around = shape.small, shape.kernel, shape.padding
    cells = columns.unflatten(1, (tall, broad, -1)).unflatten(0, (-1, high, wide))
    sides = [side + 2 * around for side in shape.big]
    result = columns.new_zeros(cells.shape[0], *sides, cells.shape[-1])
    for i in range(tall):
        rows = slice(i, i + shape.stride * high, shape.stride)
        for j in range(broad):
            result[:, rows, j : j + shape.stride * wide : shape.stride] += cells[:, :, :, i, j]
    height, width = shape.big
    inner = result[:, around : around + height, around : around + width]
    return inner.contiguous().permute(0, 3, 1, 2)  # dense, as others are many times as fast on it


def grown(
    small: tuple[int, int], kernel: tuple[int, int], stride: int, padding: int
) -> tuple[int, int]:
    """The size of a transposed convolution's output without output padding."""
    high, wide = ((small[i] - 1) * stride - 2 * padding + kernel[i] for i in (0, 1))
    return high, wide
