"""Deep convolutional networks (Radford et al. 2016), for images of any size."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

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
from gan_cli.networks.layers import (
    ACTIVATIONS,
    NORMS,
    Conv2d,
    activation,
    norm,
    normalise_spectrum,
    pyramid,
    upsample,
)

MOST = 8  # channels grow from `width` to at most this many times as much, as in the paper


def tail(channels: int, kind: str, active: str, depth: int) -> list[nn.Module]:
    """What follows a convolution: norm and activation, then `depth` - 1 more of all three."""
    layers = [norm(kind, channels), activation(active)]
    for _ in range(depth - 1):
        same = Conv2d(channels, channels, 3, 1, 1, bias=kind == "none")
        layers += [same, norm(kind, channels), activation(active)]
    return layers


class DCGANGenerator(Generator):
    """Transposed convolutions 4x4 with stride 2, batch norm and ReLU, tanh at the end."""

    def __init__(
        self,
        inputs: int,
        data: DataSpec,
        width: int,
        classes: int,
        kind: str = "batch",
        active: str = "relu",
        depth: int = 1,
    ) -> None:
        super().__init__(inputs, classes, kind)
        sizes = pyramid(data, "dcgan")[::-1]
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)][::-1]
        bias = kind == "none"  # a norm has one of its own
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(inputs + classes, channels[0], sizes[0], bias=bias),
            *tail(channels[0], kind, active, depth),
        ]
        channels.append(data.shape[0])
        for i in range(len(sizes) - 1):
            layers.append(upsample(channels[i], channels[i + 1], sizes[i], sizes[i + 1], bias))
            if i < len(sizes) - 2:
                layers += tail(channels[i + 1], kind, active, depth)
        self.layers = nn.Sequential(*layers)
        dcgan_init(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y)[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Convolutions 4x4 with stride 2, LeakyReLU .2, no norm on the first; one linear output."""

    def __init__(
        self,
        data: DataSpec,
        width: int,
        classes: int,
        traits: Traits,
        active: str = "leaky_relu",
        depth: int = 1,
    ) -> None:
        super().__init__(traits)
        kind = traits.discriminator_norm
        sizes = pyramid(data, "dcgan")
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)]
        bias = kind == "none"  # a norm has one of its own
        self.first = nn.Conv2d(data.shape[0], channels[0], 4, 2, 1, bias=bias)
        self.label = self.label_bias(classes, channels[0])
        self.active = activation(active)
        trunk = tail(channels[0], kind, active, depth)[2:]
        for before, after in pairwise(channels):
            trunk.append(Conv2d(before, after, 4, 2, 1, bias=bias))
            trunk += tail(after, kind, active, depth)
        self.trunk = nn.Sequential(*trunk)
        # On the last map, the paper's final convolution is the linear head.
        self.build_head(channels[-1] * sizes[-1][0] * sizes[-1][1], classes, bias)
        dcgan_init(self)
        if traits.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = self.active(self.label(self.first(x), y))
        return self.crowded(self.trunk(first).flatten(1))


class DCGAN(NetworkFamily):
    """The family of Radford et al. 2016.

    Args:
        width: channels of the widest map's layer, 64 in the paper.
        discriminator_norm: "batch" as in the paper, "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018); best with
            `discriminator_norm` "none", as there.
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); null for none.
        generator_norm: "batch" as in the paper, "virtual_batch" (Salimans et al. 2016), "layer" or
            "none", where biases take its place.
        generator_activation: one of `ACTIVATIONS`.
        discriminator_activation: the same.
        generator_depth: convolutions for each map but the image, all but one of them 3x3.
        discriminator_depth: the same.
        discriminator_width: as `width`, for the discriminator alone; null for the same.
    """

    def __init__(
        self,
        width: int = 64,
        discriminator_norm: str = "batch",
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
        minibatch_discrimination: tuple[int, int] | None = None,
        generator_norm: str = "batch",
        generator_activation: str = "relu",
        discriminator_activation: str = "leaky_relu",
        generator_depth: int = 1,
        discriminator_depth: int = 1,
        discriminator_width: int | None = None,
    ) -> None:
        self.widths = (
            positive("width", width),
            width
            if discriminator_width is None
            else positive("discriminator_width", discriminator_width),
        )
        self.traits = Traits(
            discriminator_norm, spectral_norm, conditioning, minibatch_discrimination
        )
        self.mixes_samples, self.lipschitz = self.traits.mixes_samples, self.traits.lipschitz
        self.generator_norm = one_of("generator_norm", generator_norm, NORMS)
        self.activations = (
            one_of("generator_activation", generator_activation, ACTIVATIONS),
            one_of("discriminator_activation", discriminator_activation, ACTIVATIONS),
        )
        self.depths = (
            positive("generator_depth", generator_depth),
            positive("discriminator_depth", discriminator_depth),
        )

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        shape = (self.widths[0], classes, self.generator_norm)
        return DCGANGenerator(inputs, data, *shape, self.activations[0], self.depths[0])

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        shape = (self.widths[1], classes, self.traits)
        return DCGANDiscriminator(data, *shape, self.activations[1], self.depths[1])
