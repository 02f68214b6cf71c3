"""The networks of R3GAN (Huang et al. 2024): ResNeXt's blocks without norms, for any images.

Section 4 and the authors' code: a bottleneck turned inside out with grouped convolutions, leaky
ReLU, a fixed low-pass filter wherever a map is resampled, and blocks that begin as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.networks.layers import pyramid

COARSEST = 4  # 32x32 is halved to 4x4, as in the paper, and 28x28 to 7x7
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of weights before a leaky ReLU .2 (He et al. 2015)


@dataclass(frozen=True)
class R3GAN(NetworkFamily):
    """The family of Huang et al. 2024, with the same width on all maps, as there for CIFAR-10.

    Args:
        width: channels; 768 there.
        blocks: for each map; 2 there.
        expansion: how much wider the middle of a block is; 2 there.
        group: channels of each group of the middle convolution; 16 there.
    """

    width: int = 64
    blocks: int = 2
    expansion: int = 2
    group: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        middle = self.width * self.expansion
        if middle % self.group:
            raise ConfigError(
                f"network.group = {self.group}: must divide network.width times network.expansion "
                f"= {middle}"
            )

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return R3GANGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return R3GANDiscriminator(self, data, classes)


class R3GANGenerator(Generator):
    """A learned coarsest map, scaled channel by channel by the latent; blocks and upsampling.

    It ends in tanh, where the authors' has nothing.
    """

    def __init__(self, options: R3GAN, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, norm="none")
        sizes = pyramid(data, "r3gan", COARSEST)[::-1]
        depth = options.blocks * len(sizes)
        self.basis = nn.Parameter(torch.randn(options.width, *sizes[0]))
        self.scales = initialised(nn.Linear(inputs + classes, options.width, bias=False))
        layers: list[nn.Module] = [Block(options, depth) for _ in range(options.blocks)]
        for small, big in pairwise(sizes):
            layers.append(Resample(small, big))
            layers += [Block(options, depth) for _ in range(options.blocks)]
        last = nn.Conv2d(options.width, data.shape[0], 1, bias=False)
        self.layers = nn.Sequential(*layers, initialised(last))

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.basis * self.scales(self.conditioned(z, y))[:, :, None, None])


class R3GANDiscriminator(Discriminator):
    """Blocks and downsampling, then one learned weight for each place of each channel."""

    def __init__(self, options: R3GAN, data: DataSpec, classes: int) -> None:
        super().__init__()
        sizes, width = pyramid(data, "r3gan", COARSEST), options.width
        depth = options.blocks * len(sizes)
        self.first = initialised(nn.Conv2d(data.shape[0], width, 1, bias=False))
        self.label = self.label_bias(classes, width)
        layers: list[nn.Module] = [Block(options, depth) for _ in range(options.blocks)]
        for big, small in pairwise(sizes):
            layers.append(Resample(big, small))
            layers += [Block(options, depth) for _ in range(options.blocks)]
        whole = nn.Conv2d(width, width, sizes[-1], groups=width, bias=False)
        self.trunk = nn.Sequential(*layers, initialised(whole), nn.Flatten())
        self.build_head(width, 0, bias=False)
        initialised(self.head)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.trunk(self.label(self.first(x), y))


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x)): out to the expanded width 1x1, 3x3 in groups, and back 1x1.

    a adds a bias and is a leaky ReLU. W3 begins at 0 and the others smaller for deeper networks, by
    depth^(-1/4) (Fixup, Zhang et al. 2019, with three layers in a block).

    Args:
        options: the family's.
        depth: blocks of the network.
    """

    def __init__(self, options: R3GAN, depth: int) -> None:
        super().__init__()
        width, middle = options.width, options.width * options.expansion
        gain = GAIN * depth ** (-1 / 4)
        grouped = nn.Conv2d(middle, middle, 3, 1, 1, groups=middle // options.group)
        self.one = initialised(nn.Conv2d(width, middle, 1), gain)
        self.two = initialised(grouped, gain)
        self.three = initialised(nn.Conv2d(middle, width, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """A map of the same shape."""
        found = leaky_relu(self.one(x), 0.2, inplace=True)
        return x + self.three(leaky_relu(self.two(found), 0.2, inplace=True))


class Resample(nn.Module):
    """Half or twice the size with the filter (1, 3, 3, 1) / 8 along each axis.

    Args:
        before: the map's height and width.
        after: the same of what it becomes.
    """

    kernel: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        self.up = after[0] > before[0]
        self.odd = (after[0] - 2 * before[0], after[1] - 2 * before[1])
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(line, line)[None, None] * (4 if self.up else 1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """A map [n, channels, ...] of the other size."""
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, -1, -1, -1)
        if self.up:
            return conv_transpose2d(x, kernel, None, 2, 1, self.odd, channels)
        return conv2d(x, kernel, None, 2, 1, groups=channels)


def initialised(layer: Layer, gain: float = 1.0) -> Layer:
    """The layer with weights from N(0, gain^2 / inputs) and biases of 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
