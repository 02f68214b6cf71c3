"""Residual networks (WGAN-GP, SNGAN, SAGAN) for images of any size.

Miyato et al. 2018, tables 4 to 6, and their code; Gulrajani et al. 2017, appendices C and F, and
theirs. Zhang et al. 2019: attention between all places of a map, and spectral norm in the generator
too. Miyato and Koyama 2018: conditional batch norm in the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, StandardFamily
from gan_cli.networks.layers import (
    ConditionalBatchNorm,
    Norm,
    norm,
    normalise_spectrum,
    normalised,
    pyramid,
)
from gan_cli.networks.resize import UpsampledConv2d

COARSEST = 4  # the least side of the generator's coarsest map
KEYS = 8  # C / C' in Zhang et al. 2019: how much narrower attention is than its map


@dataclass(frozen=True, kw_only=True)
class ResNet(StandardFamily):
    """The family; its defaults are Miyato et al.'s for CIFAR-10.

    Args:
        width: channels of the generator's finest maps.
        discriminator_width: of the discriminator's finest; None for the same.
        growth: the most times as many channels that coarser maps have, doubled with each halving;
            1 for the same number on all maps.
        discriminator_coarsest: the least side of the discriminator's coarsest map.
        discriminator_last: its blocks that keep the coarsest map, None for no such; the first of
            them doubles the channels once more, up to `growth`.
        first: what the discriminator begins with: a "block", or a "convolution" that keeps the size
            (Gulrajani et al. 2017 for 64 pixels).
        pooling: of its last map over all places: the "sum" or the "mean"; "none": each place counts
            by itself, without a ReLU before.
        head_bias: whether its output has a bias.
        inner_bias: whether the first convolution of each block has one.
        generator_conditioning: how the generator takes labels: "label" (one-hot, beside the
            latent), or "batch_norm" (conditional batch norm in its blocks).
        generator_spectral_norm: of the generator's weights too, as in SAGAN.
        attention: on the maps after this many halvings of the image; None for none.
    """

    width: int = 256
    discriminator_width: int | None = 128
    discriminator_norm: Literal["batch", "layer", "none"] = "none"
    spectral_norm: bool = True
    growth: int = 1
    discriminator_coarsest: int = 6
    discriminator_last: int | None = 2
    first: Literal["block", "convolution"] = "block"
    pooling: Literal["sum", "mean", "none"] = "sum"
    head_bias: bool = False
    inner_bias: bool = True
    generator_conditioning: Literal["label", "batch_norm"] = "label"
    generator_spectral_norm: bool = False
    attention: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator_conditioning == "batch_norm" and self.generator_norm != "batch":
            raise ConfigError(
                f"network.generator_norm = {self.generator_norm}: must be batch with "
                "network.generator_conditioning = batch_norm"
            )

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return ResNetGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return ResNetDiscriminator(self, data, classes)

    def times(self, doublings: int) -> int:
        """How many times as many channels a map has after as many doublings."""
        return min(2**doublings, self.growth)

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
        self.by_norm = classes > 0 and options.generator_conditioning == "batch_norm"
        super().__init__(inputs, classes, options.generator_norm)
        name = options.generator_norm
        sizes = pyramid(data, "resnet", COARSEST)[::-1]
        options.check_attention(len(sizes) - 2)
        channels = [options.width * options.times(level) for level in range(len(sizes))]
        labels = 0 if self.by_norm else classes

        def normed(channels: int) -> nn.Module:
            return ConditionalBatchNorm(channels, classes) if self.by_norm else norm(name, channels)

        layers: list[nn.Module] = [
            nn.Linear(inputs + labels, channels[-1] * math.prod(sizes[0])),
            nn.Unflatten(1, (channels[-1], *sizes[0])),
        ]
        for level, size in reversed(list(enumerate(sizes[:0:-1]))):
            before, after = channels[level + 1], channels[level]
            layers.append(UpBlock(before, after, size, normed, options.inner_bias))
            if options.attends(level):
                layers.append(SelfAttention(after))
        last = nn.Conv2d(channels[0], data.shape[0], 3, 1, 1)
        layers += [norm(name, channels[0]), nn.ReLU(inplace=True), last]
        self.layers = nn.Sequential(*layers)
        initialise(self)
        if options.first == "block":
            nn.init.xavier_uniform_(last.weight)
        if options.generator_spectral_norm:
            normalise_spectrum(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if not self.by_norm:
            return self.run(self.layers, self.conditioned(z, y))
        x = z
        for layer in self.layers:
            x = layer(x, y) if isinstance(layer, UpBlock) else layer(x)
        return x


class ResNetDiscriminator(Discriminator):
    """Residual blocks that halve the map, some that keep it, ReLU and a sum over all places."""

    def __init__(self, options: ResNet, data: DataSpec, classes: int) -> None:
        super().__init__(options)
        self.pooling = options.pooling
        width = options.discriminator_width or options.width
        name = options.discriminator_norm
        sizes = pyramid(data, "resnet", options.discriminator_coarsest)
        options.check_attention(len(sizes) - 1)
        inner = options.inner_bias
        if options.first == "block":
            self.first: nn.Module = DownBlock(data.shape[0], width, name, first=True, bias=inner)
        else:
            self.first = nn.Conv2d(data.shape[0], width, 3, 1, 1)
        self.label = self.label_bias(classes, width)
        trunk: list[nn.Module] = []
        channels, doublings = width, 0
        for level in range(1, len(sizes)):
            if level > 1 or options.first == "convolution":
                doublings += 1
                before, channels = channels, width * options.times(doublings)
                trunk.append(DownBlock(before, channels, name, bias=inner))
            if options.attends(level):
                trunk.append(SelfAttention(channels))
        for _ in range(options.discriminator_last or 0):
            before, channels = channels, width * options.times(doublings + 1)
            trunk.append(DownBlock(before, channels, name, halve=False, bias=inner))
        self.trunk = nn.Sequential(*trunk)
        places = math.prod(sizes[-1]) if options.pooling == "none" else 1
        self.build_head(channels * places, classes, bias=options.head_bias)
        initialise(self)
        if isinstance(self.first, nn.Conv2d):
            nn.init.xavier_uniform_(self.first.weight)
        if self.projection is not None:
            nn.init.xavier_uniform_(self.projection.weight)
        if options.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        maps = self.trunk(self.label(self.first(x), y))
        if self.pooling == "none":
            return self.with_closeness(maps.flatten(1))
        pooled = relu(maps).sum((2, 3)) if self.pooling == "sum" else relu(maps).mean((2, 3))
        return self.with_closeness(pooled)


class UpBlock(nn.Module):
    """The generator's block: norm, ReLU, upsampling and a convolution; norm, ReLU, a convolution.

    The shortcut is a convolution 1x1, before its upsampling, which comes to the same.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: tuple[int, int],
        normed: Callable[[int], nn.Module],
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size = size
        self.norms = nn.ModuleList([normed(before), normed(after)])
        self.up = UpsampledConv2d(before, after, size, bias=bias)
        self.same = nn.Conv2d(after, after, 3, 1, 1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """From a map [n, before, ...] to one of `size`; `y` for conditional batch norm."""
        found = self.up(relu(normalised(self.norms[0], x, y)))
        found = self.same(relu(normalised(self.norms[1], found, y)))
        return found + interpolate(self.shortcut(x), size=self.size)


class DownBlock(nn.Module):
    """The discriminator's block: twice norm, ReLU and a convolution, then the mean of 2x2 cells.

    The first has no ReLU before it, since it sees the image. Other blocks change the channels in
    their second convolution, unless `middle` says otherwise. The shortcut is a convolution 1x1
    after the means, which comes to the same as before them, or nothing where the map stays as it
    is.
    """

    def __init__(
        self,
        before: int,
        after: int,
        name: Norm,
        halve: bool = True,
        first: bool = False,
        bias: bool = True,
        middle: int | None = None,
    ) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        middle = middle or (after if first else before)
        self.norms = nn.ModuleList([norm("none" if first else name, before), norm(name, middle)])
        self.one = nn.Conv2d(before, middle, 3, 1, 1, bias=bias)
        self.two = nn.Conv2d(middle, after, 3, 1, 1)
        keeps = not halve and before == after
        self.shortcut = nn.Identity() if keeps else nn.Conv2d(before, after, 1)

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
    C / 8 channels, and gamma begins at 0.

    Args:
        channels: C, of the map.
        pooled: as in the authors' code, maps of W_f and W_h are halved by maxima, and W_h has C / 2
            channels.
    """

    def __init__(self, channels: int, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        narrow = max(1, channels // KEYS)
        middle = max(1, channels // 2) if pooled else narrow
        self.f = nn.Conv2d(channels, narrow, 1, bias=False)
        self.g = nn.Conv2d(channels, narrow, 1, bias=False)
        self.h = nn.Conv2d(channels, middle, 1, bias=False)
        self.v = nn.Conv2d(middle, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """A map [n, channels, height, width] of the same shape."""
        f, g, h = self.f(x), self.g(x).flatten(2), self.h(x)  # [n, C / 8, ...]
        if self.pooled:
            f, h = max_pool2d(f, 2), max_pool2d(h, 2)
        f, h = f.flatten(2), h.flatten(2)
        weights = (g.transpose(1, 2) @ f).softmax(2)  # [n, places j, places i]
        gathered = h @ weights.transpose(1, 2)
        return self.gamma * self.v(gathered.unflatten(2, x.shape[2:])) + x


def initialise(network: nn.Module) -> None:
    """Glorot's uniform weights, times sqrt 2 for convolutions 3x3, and biases of 0.

    As in the authors' code G's last layer has no sqrt 2 where D begins with a block; where it
    begins with a convolution, that one has none.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            inside = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
            nn.init.xavier_uniform_(layer.weight, math.sqrt(2) if inside else 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
