"""Deep convolutional networks (Radford et al. 2016), for images of any size."""

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

MOST = 8  # channels grow from `width` to at most this many times as much, as in the paper


class DCGANGenerator(Generator):
    """Transposed convolutions 4x4 with stride 2, batch norm and ReLU, tanh at the end."""

    def __init__(self, inputs: int, data: DataSpec, width: int, classes: int) -> None:
        super().__init__(classes)
        sizes = pyramid(data, "dcgan")[::-1]
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)][::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(inputs + classes, channels[0], sizes[0], bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        ]
        channels.append(data.shape[0])
        for i in range(len(sizes) - 1):
            layers.append(upsample(channels[i], channels[i + 1], sizes[i], sizes[i + 1]))
            if i < len(sizes) - 2:
                layers += [nn.BatchNorm2d(channels[i + 1]), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        dcgan_init(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.conditioned(z, y)[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2, LeakyReLU .2, no norm on the first; one linear output."""

    def __init__(
        self,
        data: DataSpec,
        width: int,
        classes: int,
        kind: str,
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
    ) -> None:
        super().__init__()
        sizes = pyramid(data, "dcgan")
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)]
        self.width = channels[-1] * sizes[-1][0] * sizes[-1][1]
        bias = kind == "none"  # a norm has one of its own
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1, bias=bias)
        self.label = self.condition(conditioning, classes, channels[0])
        trunk: list[nn.Module] = []
        for before, after in pairwise(channels):
            trunk += [
                nn.Conv2d(before, after, 4, 2, 1, bias=bias),
                norm(kind, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.trunk = nn.Sequential(*trunk)
        # On the last map, the paper's final convolution is this linear layer.
        self.head = nn.Linear(self.width, 1, bias=bias)
        dcgan_init(self)
        if spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = leaky_relu(self.label(self.first(x), y), 0.2, inplace=True)
        return self.trunk(first).flatten(1)


class DCGAN(NetworkFamily):
    """The family of Radford et al. 2016.

    Args:
        width: channels of the widest map's layer, 64 in the paper.
        discriminator_norm: "batch" as in the paper, "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018); best with
            `discriminator_norm` "none", as there.
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
        return DCGANGenerator(inputs, data, self.width, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DCGANDiscriminator(
            data, self.width, classes, self.kind, self.spectral_norm, self.conditioning
        )
