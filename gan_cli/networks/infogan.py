"""The networks of InfoGAN on MNIST (Chen et al. 2016, table 1), for images of any size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_cli.model import DataSpec
from gan_cli.networks.convolution import Conv2d
from gan_cli.networks.family import Discriminator, Generator, StandardFamily, dcgan_init
from gan_cli.networks.layers import norm, normalise_spectrum, pyramid, upsample, widths

COARSEST = 5  # halving stops at 7x7 for MNIST, as in the table
DENSE = 16  # units of the dense layer for each channel of `width`: 1024


@dataclass(frozen=True)
class InfoGANNetworks(StandardFamily):
    """The family of Chen et al. 2016, whose norms are "batch".

    Args:
        width: channels of the first convolution, 64 in the paper.
        slope: of LeakyReLU; .1 in the paper, .01 in the authors' code.
    """

    width: int = 64
    slope: float = 0.1

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return InfoGANGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return InfoGANDiscriminator(self, data, classes)


class InfoGANGenerator(Generator):
    """Two dense layers, then transposed convolutions 4x4 with stride 2; batch norm and ReLU."""

    def __init__(self, options: InfoGANNetworks, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, options.generator_norm)
        name, dense = options.generator_norm, DENSE * options.width
        bias = name == "none"  # a norm has one of its own
        sizes = pyramid(data, "infogan", COARSEST)[::-1]
        channels = widths(options.width, sizes)[::-1]
        cells = channels[0] * sizes[0][0] * sizes[0][1]
        self.dense = nn.Sequential(
            nn.Linear(inputs + classes, dense, bias=bias),
            norm(name, dense, flat=True),
            nn.ReLU(inplace=True),
            nn.Linear(dense, cells, bias=bias),
            norm(name, cells, flat=True),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (channels[0], *sizes[0])),
        )
        layers: list[nn.Module] = []
        for (before, after), (small, big) in zip(pairwise(channels), pairwise(sizes), strict=False):
            layers.append(upsample(before, after, small, big, bias))
            layers += [norm(name, after), nn.ReLU(inplace=True)]
        layers.append(upsample(channels[-1], data.shape[0], sizes[-2], sizes[-1], bias))
        self.layers = nn.Sequential(*layers)
        dcgan_init(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(lambda z: self.layers(self.dense(z)), self.conditioned(z, y))


class InfoGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2 and one dense layer; LeakyReLU, no norm on the first."""

    def __init__(self, options: InfoGANNetworks, data: DataSpec, classes: int) -> None:
        super().__init__(options)
        self.slope = options.slope
        name, dense = options.discriminator_norm, DENSE * options.width
        bias = name == "none"  # a norm has one of its own
        sizes = pyramid(data, "infogan", COARSEST)
        channels = widths(options.width, sizes)
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1)
        self.label = self.label_bias(classes, channels[0])
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers.append(Conv2d(before, after, 4, 2, 1, bias=bias))
            layers += [norm(name, after), nn.LeakyReLU(self.slope, inplace=True)]
        self.trunk = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels[-1] * sizes[-1][0] * sizes[-1][1], dense, bias=bias),
            norm(name, dense, flat=True),
            nn.LeakyReLU(self.slope, inplace=True),
        )
        self.build_head(dense, classes)
        dcgan_init(self)
        if options.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = leaky_relu(self.label(self.first(x), y), self.slope, inplace=True)
        return self.with_closeness(self.trunk(first))
