"""Deep convolutional networks (Radford et al. 2016), for images of any size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan_cli.model import DataSpec
from gan_cli.networks.convolution import Conv2d, ConvTranspose2d
from gan_cli.networks.family import Discriminator, Generator, Init, StandardFamily, dcgan_init
from gan_cli.networks.layers import (
    Activation,
    Norm,
    activation,
    norm,
    normalise_spectrum,
    pyramid,
    upsample,
    widths,
)


@dataclass(frozen=True)
class DCGAN(StandardFamily):
    """The family of Radford et al. 2016, whose norms are "batch".

    Args:
        width: channels of the widest map's layer, 64 in the paper.
        generator_activation: one of `ACTIVATIONS`.
        discriminator_activation: the same.
        generator_depth: convolutions for each map but the image, all but one of them 3x3.
        discriminator_depth: the same.
        discriminator_width: as `width`, for the discriminator alone; None for the same.
        init: of the weights: "normal", N(0, .02), or "he", best without norms.
    """

    width: int = 64
    generator_activation: Activation = "relu"
    discriminator_activation: Activation = "leaky_relu"
    generator_depth: int = 1
    discriminator_depth: int = 1
    discriminator_width: int | None = None
    init: Init = "normal"

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return DCGANGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DCGANDiscriminator(self, data, classes)


class DCGANGenerator(Generator):
    """Transposed convolutions 4x4 with stride 2, batch norm and ReLU, tanh at the end."""

    def __init__(self, options: DCGAN, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, options.generator_norm)
        shape = options.generator_norm, options.generator_activation, options.generator_depth
        bias = options.generator_norm == "none"  # a norm has one of its own
        sizes = pyramid(data, "dcgan")[::-1]
        channels = [*widths(options.width, sizes)[::-1], data.shape[0]]
        layers: list[nn.Module] = [
            ConvTranspose2d(inputs + classes, channels[0], sizes[0], bias=bias),
            *tail(channels[0], *shape),
        ]
        for (before, after), (small, big) in zip(pairwise(channels), pairwise(sizes), strict=True):
            layers.append(upsample(before, after, small, big, bias))
            if big != sizes[-1]:
                layers += tail(after, *shape)
        self.layers = nn.Sequential(*layers)
        dcgan_init(self, options.init)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y)[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2, LeakyReLU .2, no norm on the first; one linear output."""

    def __init__(self, options: DCGAN, data: DataSpec, classes: int) -> None:
        super().__init__(options)
        name, active = options.discriminator_norm, options.discriminator_activation
        bias = name == "none"  # a norm has one of its own
        sizes = pyramid(data, "dcgan")
        channels = widths(options.discriminator_width or options.width, sizes)
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1, bias=bias)
        self.label = self.label_bias(classes, channels[0])
        self.active = activation(active)
        trunk = tail(channels[0], name, active, options.discriminator_depth)[2:]
        for before, after in pairwise(channels):
            trunk.append(Conv2d(before, after, 4, 2, 1, bias=bias))
            trunk += tail(after, name, active, options.discriminator_depth)
        self.trunk = nn.Sequential(*trunk)
        # On the last map, the paper's final convolution is the linear head.
        self.build_head(channels[-1] * sizes[-1][0] * sizes[-1][1], classes, bias)
        dcgan_init(self, options.init)
        if options.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = self.active(self.label(self.first(x), y))
        return self.with_closeness(self.trunk(first).flatten(1))


def tail(channels: int, name: Norm, active: Activation, depth: int) -> list[nn.Module]:
    """The norm and activation after a convolution, then `depth` - 1 more of all three."""
    layers = [norm(name, channels), activation(active)]
    for _ in range(depth - 1):
        same = Conv2d(channels, channels, 3, 1, 1, bias=name == "none")
        layers += [same, norm(name, channels), activation(active)]
    return layers
