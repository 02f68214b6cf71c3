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
    conditioning_of,
    dcgan_init,
    positive,
    pyramid,
    upsample,
)
from gan_cli.networks.normalising import norm, normalise_spectrum

COARSEST = 5  # halving stops at 7x7 for MNIST, as in the table
DENSE = 16  # the dense layer has this many times `width` units: 1024
MOST = 8


class InfoGANGenerator(Generator):
    """Two dense layers, then transposed convolutions 4x4 with stride 2; batch norm and ReLU."""

    def __init__(self, inputs: int, data: DataSpec, width: int, classes: int) -> None:
        super().__init__(classes)
        sizes = pyramid(data, "infogan", COARSEST)[::-1]
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)][::-1]
        first = channels[0]
        cells = first * sizes[0][0] * sizes[0][1]
        self.dense = nn.Sequential(
            nn.Linear(inputs + classes, DENSE * width, bias=False),
            nn.BatchNorm1d(DENSE * width),
            nn.ReLU(inplace=True),
            nn.Linear(DENSE * width, cells, bias=False),
            nn.BatchNorm1d(cells),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (first, *sizes[0])),
        )
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(channels)):
            layers += [
                upsample(before, after, sizes[i], sizes[i + 1]),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers.append(upsample(channels[-1], data.shape[0], sizes[-2], sizes[-1]))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        dcgan_init(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.dense(self.conditioned(z, y)))


class InfoGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2 and one dense layer; LeakyReLU .1, batch norm but at first."""

    def __init__(
        self,
        data: DataSpec,
        width: int,
        classes: int,
        kind: str = "batch",
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
    ) -> None:
        super().__init__()
        sizes = pyramid(data, "infogan", COARSEST)
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)]
        self.width = DENSE * width
        bias = kind == "none"  # a norm has one of its own
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1)
        self.label = self.condition(conditioning, classes, channels[0])
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=bias),
                norm(kind, after),
                nn.LeakyReLU(0.1, inplace=True),
            ]
        self.trunk = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels[-1] * sizes[-1][0] * sizes[-1][1], self.width, bias=bias),
            norm(kind, self.width, flat=True),
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.head = nn.Linear(self.width, 1)
        dcgan_init(self)
        if spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.trunk(leaky_relu(self.label(self.first(x), y), 0.1, inplace=True))


class InfoGANNetworks(NetworkFamily):
    """The family of Chen et al. 2016.

    Args:
        width: channels of the first convolution, 64 in the paper; the dense layer has 16 times as
            many units.
        discriminator_norm: "batch" as in the paper, "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018).
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
    """

    def __init__(
        self,
        width: int = 64,
        discriminator_norm: str = "batch",
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
    ) -> None:
        self.width, self.kind = positive("width", width), discriminator_norm
        norm(discriminator_norm, 1)
        self.spectral_norm, self.conditioning = spectral_norm, conditioning_of(conditioning)
        self.mixes_samples = discriminator_norm == "batch"
        self.lipschitz = spectral_norm and discriminator_norm == "none"

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return InfoGANGenerator(inputs, data, self.width, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return InfoGANDiscriminator(
            data, self.width, classes, self.kind, self.spectral_norm, self.conditioning
        )
