"""Residual networks with spectral norm and self-attention (SNGAN, SAGAN), for images of any size.

Miyato et al. 2018, table 4: the networks for CIFAR-10, with as many halvings as the image allows.
Zhang et al. 2019: attention between all places of a map, and spectral norm in the generator too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, StandardFamily
from gan_cli.networks.layers import Norm, norm, normalise_spectrum, pyramid
from gan_cli.networks.resize import UpsampledConv2d

COARSEST = 4, 6  # the least sides of the coarsest maps, of the generator and of the discriminator
KEYS = 8  # C / C' in Zhang et al. 2019: how much narrower attention is than its map


@dataclass(frozen=True, kw_only=True)
class ResNet(StandardFamily):
    """The family of Miyato et al. 2018 for CIFAR-10, with the attention of Zhang et al. 2019.

    Args:
        width: channels of all the generator's maps, 256 in the paper.
        discriminator_width: of all the discriminator's, 128 there; None for the same.
        generator_spectral_norm: of the generator's weights too, as in SAGAN.
        attention: on the maps after this many halvings of the image; None for none.
    """

    width: int = 256
    discriminator_width: int | None = 128
    discriminator_norm: Literal["batch", "layer", "none"] = "none"
    spectral_norm: bool = True
    generator_spectral_norm: bool = False
    attention: int | None = None

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return ResNetGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return ResNetDiscriminator(self, data, classes)

    def attends(self, level: int) -> bool:
        """Whether there is attention on the map after `level` halvings."""
        return level == self.attention

    def check_attention(self, levels: int) -> None:
        """Refuse attention on a map that a network with so many levels does not have."""
        if self.attention is not None and self.attention > levels:
            raise ConfigError(
                f"network.attention = {self.attention}: must be at most {levels}, the halvings of "
                "such images; set it lower, or null"
            )


class ResNetGenerator(Generator):
    """A dense layer, residual blocks up to the image, norm, ReLU and a convolution; tanh."""

    def __init__(self, options: ResNet, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, options.generator_norm)
        name, width = options.generator_norm, options.width
        sizes = pyramid(data, "resnet", COARSEST[0])[::-1]
        options.check_attention(len(sizes) - 2)
        layers: list[nn.Module] = [
            nn.Linear(inputs + classes, width * math.prod(sizes[0])),
            nn.Unflatten(1, (width, *sizes[0])),
        ]
        for level, size in reversed(list(enumerate(sizes[:0:-1]))):
            layers.append(UpBlock(width, size, name))
            if options.attends(level):
                layers.append(SelfAttention(width))
        last = nn.Conv2d(width, data.shape[0], 3, 1, 1)
        layers += [norm(name, width), nn.ReLU(inplace=True), last]
        self.layers = nn.Sequential(*layers)
        initialise(self)
        nn.init.xavier_uniform_(last.weight)
        if options.generator_spectral_norm:
            normalise_spectrum(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y))


class ResNetDiscriminator(Discriminator):
    """Residual blocks that halve the map, two that keep it, ReLU and a sum over all places."""

    def __init__(self, options: ResNet, data: DataSpec, classes: int) -> None:
        super().__init__(options)
        width = options.discriminator_width or options.width
        name = options.discriminator_norm
        sizes = pyramid(data, "resnet", COARSEST[1])
        options.check_attention(len(sizes) - 1)
        self.first = DownBlock(data.shape[0], width, name, first=True)
        self.label = self.label_bias(classes, width)
        trunk: list[nn.Module] = []
        for level, _ in enumerate(pairwise(sizes), 1):
            if level > 1:
                trunk.append(DownBlock(width, width, name))
            if options.attends(level):
                trunk.append(SelfAttention(width))
        trunk += [DownBlock(width, width, name, halve=False) for _ in range(2)]
        self.trunk = nn.Sequential(*trunk)
        self.build_head(width, classes, bias=False)
        initialise(self)
        if options.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        maps = self.trunk(self.label(self.first(x), y))
        return self.with_closeness(relu(maps).sum((2, 3)))


class UpBlock(nn.Module):
    """The generator's block: norm, ReLU, upsampling and a convolution; norm, ReLU, a convolution.

    The shortcut is a convolution 1x1, before its upsampling, which comes to the same.
    """

    def __init__(self, width: int, size: tuple[int, int], name: Norm) -> None:
        super().__init__()
        self.size = size
        self.norms = nn.ModuleList([norm(name, width), norm(name, width)])
        self.up = UpsampledConv2d(width, width, size, bias=True)
        self.same = nn.Conv2d(width, width, 3, 1, 1)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """From a map [n, width, ...] to one of `size`."""
        found = self.up(relu(self.norms[0](x)))
        found = self.same(relu(self.norms[1](found)))
        return found + interpolate(self.shortcut(x), size=self.size)


class DownBlock(nn.Module):
    """The discriminator's block: twice norm, ReLU and a convolution, then the mean of 2x2 cells.

    The first has no ReLU before it, since it sees the image. The shortcut is a convolution 1x1
    after the means, which comes to the same as before them.
    """

    def __init__(
        self, before: int, after: int, name: Norm, halve: bool = True, first: bool = False
    ) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        self.norms = nn.ModuleList([norm("none" if first else name, before), norm(name, after)])
        self.one = nn.Conv2d(before, after, 3, 1, 1)
        self.two = nn.Conv2d(after, after, 3, 1, 1)
        self.shortcut = nn.Conv2d(before, after, 1) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """From a map [n, before, height, width] to one of half the size, or of the same."""
        found = self.one(x if self.first else relu(self.norms[0](x)))
        found = self.two(relu(self.norms[1](found)))
        if self.halve:
            found, x = avg_pool2d(found, 2), avg_pool2d(x, 2)
        return found + self.shortcut(x)


class SelfAttention(nn.Module):
    """gamma * o + x with o_j = W_v sum_i softmax_i((W_f x_i) . (W_g x_j)) W_h x_i.

    Zhang et al. 2019, Eqs. 1 to 3: x_i is the map at place i, the W are convolutions 1x1 through
    C / 8 channels, and gamma begins at 0. The authors' code halves the map of W_f and W_h by maxima
    and gives W_h C / 2 channels.

    Args:
        channels: C, of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // KEYS)
        self.f = nn.Conv2d(channels, narrow, 1, bias=False)
        self.g = nn.Conv2d(channels, narrow, 1, bias=False)
        self.h = nn.Conv2d(channels, narrow, 1, bias=False)
        self.v = nn.Conv2d(narrow, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """A map [n, channels, height, width] of the same shape."""
        f, g, h = (layer(x).flatten(2) for layer in (self.f, self.g, self.h))  # [n, C / 8, places]
        weights = (g.transpose(1, 2) @ f).softmax(2)  # [n, places j, places i]
        gathered = h @ weights.transpose(1, 2)
        return self.gamma * self.v(gathered.unflatten(2, x.shape[2:])) + x


def initialise(network: nn.Module) -> None:
    """Glorot's uniform weights, times sqrt 2 before the ReLUs of blocks, and biases of 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            inside = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
            nn.init.xavier_uniform_(layer.weight, math.sqrt(2) if inside else 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
