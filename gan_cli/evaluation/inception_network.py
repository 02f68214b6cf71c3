"""The Inception network of 2015-12-05 up to its pooled features, and what its layers hold."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 2048  # of the pooled features
EPSILON = 1e-3  # of its batch norms


class ConvWeights(NamedTuple):
    """A convolution without bias, and the batch norm behind it, whose scale is 1."""

    weight: Tensor  # [out, in, height, width]
    bias: Tensor  # [out]
    mean: Tensor  # [out]
    variance: Tensor  # [out]


class Conv(nn.Module):
    """Convolution and ReLU; the batch norm between them is folded into the convolution."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        stride: int = 1,
        pad: bool = True,
    ) -> None:
        super().__init__()
        sides = (size, size) if isinstance(size, int) else size
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)

    @torch.no_grad()
    def take(self, source: ConvWeights) -> None:
        """Set the weights: w / sqrt(v + e) and b - m / sqrt(v + e), computed in float64."""
        weight, bias, mean, variance = (tensor.double() for tensor in source)
        scale = (variance + EPSILON).rsqrt()
        self.conv.weight.copy_(weight * scale[:, None, None, None])
        assert self.conv.bias is not None
        self.conv.bias.copy_(bias - mean * scale)


class Branches(nn.ModuleList):
    """Several paths from the same input, their channels side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def _mean_pool() -> nn.Module:
    # As TensorFlow does, it averages over the pixels that are there.
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _a(inputs: int, pooled: int) -> Branches:
    return Branches(
        [
            Conv(inputs, 64, 1),
            nn.Sequential(Conv(inputs, 48, 1), Conv(48, 64, 5)),
            nn.Sequential(Conv(inputs, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3)),
            nn.Sequential(_mean_pool(), Conv(inputs, pooled, 1)),
        ]
    )


def _b() -> Branches:
    return Branches(
        [
            Conv(288, 384, 3, 2, pad=False),
            nn.Sequential(Conv(288, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3, 2, pad=False)),
            nn.MaxPool2d(3, 2),
        ]
    )


def _c(width: int) -> Branches:
    row, column = (1, 7), (7, 1)
    return Branches(
        [
            Conv(768, 192, 1),
            nn.Sequential(Conv(768, width, 1), Conv(width, width, row), Conv(width, 192, column)),
            nn.Sequential(
                Conv(768, width, 1),
                Conv(width, width, column),
                Conv(width, width, row),
                Conv(width, width, column),
                Conv(width, 192, row),
            ),
            nn.Sequential(_mean_pool(), Conv(768, 192, 1)),
        ]
    )


def _d() -> Branches:
    return Branches(
        [
            nn.Sequential(Conv(768, 192, 1), Conv(192, 320, 3, 2, pad=False)),
            nn.Sequential(
                Conv(768, 192, 1),
                Conv(192, 192, (1, 7)),
                Conv(192, 192, (7, 1)),
                Conv(192, 192, 3, 2, pad=False),
            ),
            nn.MaxPool2d(3, 2),
        ]
    )


def _e(inputs: int, pool: nn.Module) -> Branches:
    def split() -> Branches:
        return Branches([Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))])

    return Branches(
        [
            Conv(inputs, 320, 1),
            nn.Sequential(Conv(inputs, 384, 1), split()),
            nn.Sequential(Conv(inputs, 448, 1), Conv(448, 384, 3), split()),
            nn.Sequential(pool, Conv(inputs, 192, 1)),
        ]
    )


def network() -> nn.Sequential:
    """From images [n, 3, 299, 299] in [-1, 1] to pooled features [n, 2048], weights unset.

    Szegedy et al. 2016, in the form of the graph that FID was defined with (Heusel et al. 2017):
    averages leave padding out, and the last block has a maximum where others have an average.
    """
    return nn.Sequential(
        Conv(3, 32, 3, 2, pad=False),
        Conv(32, 32, 3, pad=False),
        Conv(32, 64, 3),
        nn.MaxPool2d(3, 2),
        Conv(64, 80, 1),
        Conv(80, 192, 3, pad=False),
        nn.MaxPool2d(3, 2),
        *(_a(192, 32), _a(256, 64), _a(288, 64)),
        _b(),
        *(_c(128), _c(160), _c(160), _c(192)),
        _d(),
        *(_e(1280, _mean_pool()), _e(2048, nn.MaxPool2d(3, 1, 1))),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def convolutions(whole: nn.Module) -> list[Conv]:
    """All convolutions of `network()`, in order: 94."""
    return [module for module in whole.modules() if isinstance(module, Conv)]
