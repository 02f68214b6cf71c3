"""Resize-convolution (Odena, Dumoulin and Olah 2016): nearest upsampling, then a convolution.

Each output pixel is covered by the kernel equally often, so the chequerboards that transposed
convolutions can leave do not arise.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, interpolate, pad

from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGANDiscriminator
from gan_cli.networks.family import (
    Discriminator,
    Generator,
    NetworkFamily,
    Traits,
    dcgan_init,
    one_of,
    positive,
)
from gan_cli.networks.layers import NORMS, activation, norm, pyramid

COARSEST = 4  # halving stops at 7x7 for 28x28 and at 8x8 for 32x32
MOST = 8


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling to `size`, then a 3x3 convolution with padding 1.

    Where `size` doubles the input, both are one transposed convolution 4x4 with stride 2, whose
    kernel sums the taps that fall on the same input pixel: the same function with 16 instead of 36
    products for each input pixel and pair of channels.

    Args:
        before: channels of the input [n, before, h, w].
        after: channels of the output [n, after, *size].
        size: height and width of the output.
        bias: whether there is one.
        fused: false computes the two one after the other, whatever the size.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: tuple[int, int],
        bias: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__(before, after, 3, padding=1, bias=bias)
        self.size, self.fused = size, fused

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch names it so
        height, width = input.shape[2:]
        if not self.fused or self.size != (2 * height, 2 * width):
            return super().forward(interpolate(input, size=self.size))
        return conv_transpose2d(input, doubling_kernel(self.weight), self.bias, 2, 1)


def doubling_kernel(weight: Tensor) -> Tensor:
    """The kernel [i, o, 4, 4] that does on the input what `weight` [o, i, 3, 3] does on its double.

    Along one axis, output p of the convolution is sum_k w[k] x[(p + k - 1) // 2], and that of a
    transposed convolution with stride 2 and padding 1 is sum_i W[p + 1 - 2 i] x[i]; so w[k] belongs
    to W[2 - k] and to W[3 - k].
    """
    flipped = weight.transpose(0, 1).flip(2, 3)
    wide = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
    return pad(wide, (0, 0, 0, 1)) + pad(wide, (0, 0, 1, 0))


class ResizeGenerator(Generator):
    """A dense layer, then `UpsampledConv2d` up to the image; norm, activation, tanh at the end."""

    def __init__(
        self,
        inputs: int,
        data: DataSpec,
        width: int,
        classes: int,
        kind: str = "batch",
        active: str = "relu",
        fused: bool = True,
    ) -> None:
        super().__init__(inputs, classes, kind)
        sizes = pyramid(data, "resize", COARSEST)[::-1]
        channels = [width * min(2**i, MOST) for i in range(len(sizes) - 1)][::-1]
        bias = kind == "none"  # a norm has one of its own
        cells = channels[0] * sizes[0][0] * sizes[0][1]
        layers: list[nn.Module] = [
            nn.Linear(inputs + classes, cells, bias=bias),
            nn.Unflatten(1, (channels[0], *sizes[0])),
            norm(kind, channels[0]),
            activation(active),
        ]
        for i, after in enumerate(channels[1:]):
            layers += [
                UpsampledConv2d(channels[i], after, sizes[i + 1], bias, fused),
                norm(kind, after),
                activation(active),
            ]
        last = UpsampledConv2d(channels[-1], data.shape[0], sizes[-1], True, fused)
        self.layers = nn.Sequential(*layers, last)
        dcgan_init(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y))


class ResizeNetworks(NetworkFamily):
    """A generator without chequerboards against DCGAN's discriminator.

    Args:
        width: channels of the widest map's layer; they double with each halving, up to 8 times.
        discriminator_norm: "batch", "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018).
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); null for none.
        generator_norm: "batch", "virtual_batch" (Salimans et al. 2016), "layer" or "none", where
            biases take its place.
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
        return ResizeGenerator(inputs, data, self.width, classes, self.generator_norm)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DCGANDiscriminator(data, self.width, classes, self.traits)
