"""BigGAN's residual networks (Brock et al. 2019, appendix B), for images of any size.

The tables there for 128x128 images, and those of the authors' code for 64x64 and 32x32. Spectral
norm in both networks, conditional batch norm in the generator's blocks by a class embedding that
all layers share and a part of the latent for each block, projection in the discriminator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.networks.layers import (
    ConditionalBatchNorm,
    ProjectedBatchNorm,
    norm,
    normalise_spectrum,
    pyramid,
)
from gan_cli.networks.resnet import DownBlock, SelfAttention, UpBlock

COARSEST = 4  # the least side of the coarsest map
MOST = 16  # times the width on the coarsest maps
SMALL = 3  # halvings of images that have the same width on all maps ...
EVEN = 4  # ... which is as many times `width`


@dataclass(frozen=True, kw_only=True)
class BigGAN(NetworkFamily):
    """The family.

    Args:
        width: channels of the finest maps ("ch" in the paper), a quarter of those of small images.
        discriminator_width: the discriminator's; None for the same.
        shared: size of the class embedding that all layers share; None: each has a gain and a bias
            for each class.
        split: divide the latent into equal parts for the first layer and each block; what is left
            over goes to the first layer.
        attention: on the maps after this many halvings of the image; None for none.
        init: of the weights: "orthogonal", or "normal", N(0, .02).
    """

    width: int = 64
    discriminator_width: int | None = None
    shared: int | None = 128
    split: bool = True
    attention: int | None = 1
    init: Literal["orthogonal", "normal"] = "orthogonal"

    @property
    def lipschitz(self) -> bool:
        return True

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return BigGANGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return BigGANDiscriminator(self, data, classes)

    def initialise(self, network: nn.Module) -> None:
        """Set all weights; biases keep torch's."""
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
                if self.init == "orthogonal":
                    nn.init.orthogonal_(layer.weight)
                else:
                    nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, ConditionalBatchNorm):
                nn.init.normal_(layer.gains, 1.0, 0.02)
                nn.init.normal_(layer.biases, 0.0, 0.02)

    def check(self, levels: int, inputs: int, classes: int) -> None:
        """Refuse options that do not fit images with so many halvings.

        Args:
            levels: the halvings, and the generator's blocks.
            inputs: size of the latents.
            classes: number of labels, 0 for none.
        """
        if self.attention is not None and not self.attention < levels:
            raise ConfigError(
                f"network.attention = {self.attention}: must be at most {levels - 1} for such "
                "images; set it lower, or null"
            )
        if self.split and inputs <= levels:
            raise ConfigError(
                f"prior.dim = {inputs}: is split into {levels + 1} parts; set "
                f"prior.dim={levels + 1} or more, or network.split=false"
            )
        if self.split and classes and self.shared is None:
            raise ConfigError(
                "network.split = true: needs a shared embedding of classes; set network.shared=128,"
                " or network.split=false"
            )


class BigGANGenerator(Generator):
    """A dense layer, residual blocks up to the image, batch norm, ReLU and a convolution; tanh."""

    def __init__(self, options: BigGAN, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes)
        sizes = pyramid(data, "biggan", COARSEST)[::-1]
        levels = len(sizes) - 1
        options.check(levels, inputs, classes)
        times = [MOST, *(max(1, MOST >> block) for block in range(levels))]
        channels = [options.width * n for n in (times if levels > SMALL else [EVEN] * len(sizes))]
        self.part = inputs // (levels + 1) if options.split else inputs
        begin = inputs - levels * self.part if options.split else inputs
        self.parts = [begin, *[self.part] * levels]
        self.split = options.split
        self.shared = None
        if classes and options.shared is not None:
            self.shared = nn.Embedding(classes, options.shared)
        size = (0 if self.shared is None else self.shared.embedding_dim) + (
            self.part if options.split else 0
        )

        def normed(width: int) -> nn.Module:
            if size:
                return ProjectedBatchNorm(width, size)
            return ConditionalBatchNorm(width, classes) if classes else norm("batch", width)

        self.start = channels[0], *sizes[0]
        self.first = nn.Linear(begin, math.prod(self.start))
        layers: list[nn.Module] = []
        for block, (before, after) in enumerate(pairwise(channels)):
            layers.append(UpBlock(before, after, sizes[block + 1], normed))
            if levels - 1 - block == options.attention:
                layers.append(SelfAttention(after, pooled=True))
        self.blocks = nn.ModuleList(layers)
        self.last = nn.Sequential(
            norm("batch", channels[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels[-1], data.shape[0], 3, 1, 1),
        )
        options.initialise(self)
        normalise_spectrum(self, but=self.shared)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.classes and y is None:
            raise ValueError("a conditional generator needs labels")
        parts = list(z.split(self.parts, 1)) if self.split else [z]
        known = self._embedded(y)
        x = self.first(parts[0]).view(-1, *self.start)
        place = 0
        for layer in self.blocks:
            if not isinstance(layer, UpBlock):
                x = layer(x)
                continue
            place += 1
            own = [parts[place]] if self.split else []
            if self.shared is None and not self.split:
                x = layer(x, y)
            else:
                x = layer(x, torch.cat([*([] if known is None else [known]), *own], dim=1))
        return self.last(x)

    def _embedded(self, y: Tensor | None) -> Tensor | None:
        """The shared embedding of labels [n], or of mixtures of classes [n, classes]."""
        if self.shared is None or y is None:
            return None
        if y.is_floating_point():
            return y.to(self.shared.weight.dtype) @ self.shared.weight
        return self.shared(y)


class BigGANDiscriminator(Discriminator):
    """Residual blocks that halve the map, one or two that keep it, ReLU and a sum."""

    def __init__(self, options: BigGAN, data: DataSpec, classes: int) -> None:
        super().__init__()
        self.projects = True
        width = options.discriminator_width or options.width
        levels = len(pyramid(data, "biggan", COARSEST)) - 1
        if levels > SMALL:
            times, halvings = [min(2**level, MOST) for level in range(levels + 1)], levels
        else:
            times, halvings = [EVEN] * 4, 2
        channels = [data.shape[0], *(width * n for n in times)]
        layers: list[nn.Module] = []
        for block, (before, after) in enumerate(pairwise(channels)):
            halve = block < halvings
            layers.append(DownBlock(before, after, "none", halve, first=block == 0, middle=after))
            if halve and block + 1 == options.attention:
                layers.append(SelfAttention(after, pooled=True))
        self.trunk = nn.Sequential(*layers)
        self.build_head(channels[-1], classes)
        options.initialise(self)
        normalise_spectrum(self)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return relu(self.trunk(x)).sum((2, 3))
