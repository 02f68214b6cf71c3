"""The networks of InfoGAN on MNIST (Chen et al. 2016, table 1), for images of any size."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_cli.model import DataSpec
from gan_cli.networks.family import (
    Discriminator,
    Generator,
    NetworkFamily,
    Traits,
    dcgan_init,
    one_of,
    positive,
)
from gan_cli.networks.layers import NORMS, Conv2d, norm, normalise_spectrum, pyramid, upsample

COARSEST = 5  # halving stops at 7x7 for MNIST, as in the table
DENSE = 16  # the dense layer has this many times `width` units: 1024
MOST = 8


class InfoGANGenerator(Generator):
    """Two dense layers, then transposed convolutions 4x4 with stride 2; batch norm and ReLU."""

    def __init__(
        self, inputs: int, data: DataSpec, width: int, classes: int, kind: str = "batch"
    ) -> None:
        super().__init__(inputs, classes, kind)
        sizes = pyramid(data, "infogan", COARSEST)[::-1]
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)][::-1]
        first = channels[0]
        cells = first * sizes[0][0] * sizes[0][1]
        bias = kind == "none"  # a norm has one of its own
        self.dense = nn.Sequential(
            nn.Linear(inputs + classes, DENSE * width, bias=bias),
            norm(kind, DENSE * width, flat=True),
            nn.ReLU(inplace=True),
            nn.Linear(DENSE * width, cells, bias=bias),
            norm(kind, cells, flat=True),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (first, *sizes[0])),
        )
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(channels)):
            layers += [
                upsample(before, after, sizes[i], sizes[i + 1], bias),
                norm(kind, after),
                nn.ReLU(inplace=True),
            ]
        layers.append(upsample(channels[-1], data.shape[0], sizes[-2], sizes[-1], bias))
        self.layers = nn.Sequential(*layers)
        dcgan_init(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(lambda z: self.layers(self.dense(z)), self.conditioned(z, y))


class InfoGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2 and one dense layer; LeakyReLU .1, batch norm but at first.

    The slope is the paper's; the authors' code has .01.
    """

    def __init__(self, data: DataSpec, width: int, classes: int, traits: Traits) -> None:
        super().__init__(traits)
        kind = traits.discriminator_norm
        sizes = pyramid(data, "infogan", COARSEST)
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)]
        bias = kind == "none"  # a norm has one of its own
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1)
        self.label = self.label_bias(classes, channels[0])
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                Conv2d(before, after, 4, 2, 1, bias=bias),
                norm(kind, after),
                nn.LeakyReLU(0.1, inplace=True),
            ]
        dense = DENSE * width
        self.trunk = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels[-1] * sizes[-1][0] * sizes[-1][1], dense, bias=bias),
            norm(kind, dense, flat=True),
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.build_head(dense, classes)
        dcgan_init(self)
        if traits.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = leaky_relu(self.label(self.first(x), y), 0.1, inplace=True)
        return self.crowded(self.trunk(first))


class InfoGANNetworks(NetworkFamily):
    """The family of Chen et al. 2016.

    Args:
        width: channels of the first convolution, 64 in the paper; the dense layer has 16 times as
            many units.
        discriminator_norm: "batch" as in the paper, "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018).
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); null for none.
        generator_norm: "batch" as in the paper, "virtual_batch" (Salimans et al. 2016), "layer" or
            "none", where biases take its place.
    """

    def __init__(
        self,
        width: int = 64,
        discriminator_norm: str = "batch",
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
        minibatch_discrimination: tuple[int, int] | None = None,
        generator_norm: str = "batch",
    ) -> None:
        self.width = positive("width", width)
        self.traits = Traits(
            discriminator_norm, spectral_norm, conditioning, minibatch_discrimination
        )
        self.mixes_samples, self.lipschitz = self.traits.mixes_samples, self.traits.lipschitz
        self.generator_norm = one_of("generator_norm", generator_norm, NORMS)

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return InfoGANGenerator(inputs, data, self.width, classes, self.generator_norm)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return InfoGANDiscriminator(data, self.width, classes, self.traits)
