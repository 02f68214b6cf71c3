"""Resize-convolution (Odena, Dumoulin and Olah 2016): nearest upsampling, then a convolution.

Each output pixel is covered by the kernel equally often, so the chequerboards that transposed
convolutions can leave do not arise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, interpolate, pad

from gan_cli.model import DataSpec
from gan_cli.networks.convolution import plus
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import Discriminator, Generator, Init, StandardFamily, dcgan_init
from gan_cli.networks.layers import norm, pyramid, widths

COARSEST = 4  # halving stops at 7x7 for 28x28 and at 8x8 for 32x32


@dataclass(frozen=True)
class ResizeNetworks(StandardFamily):
    """A generator without chequerboards against DCGAN's discriminator.

    Args:
        width: channels of the widest map's layer; they double with each halving, up to 8 times.
        init: of the weights: "normal", N(0, .02), or "he", best without norms.
    """

    width: int = 64
    init: Init = "normal"

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return ResizeGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DCGAN(**asdict(self)).discriminator(data, classes)


class ResizeGenerator(Generator):
    """A dense layer, then `UpsampledConv2d` up to the image; norm, ReLU, tanh at the end."""

    def __init__(self, options: ResizeNetworks, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, options.generator_norm)
        name = options.generator_norm
        bias = name == "none"  # a norm has one of its own
        sizes = pyramid(data, "resize", COARSEST)[::-1]
        channels = widths(options.width, sizes)[::-1]
        layers: list[nn.Module] = [
            nn.Linear(inputs + classes, channels[0] * sizes[0][0] * sizes[0][1], bias=bias),
            nn.Unflatten(1, (channels[0], *sizes[0])),
            norm(name, channels[0]),
            nn.ReLU(inplace=True),
        ]
        for i, after in enumerate(channels[1:]):
            layers.append(UpsampledConv2d(channels[i], after, sizes[i + 1], bias))
            layers += [norm(name, after), nn.ReLU(inplace=True)]
        layers.append(UpsampledConv2d(channels[-1], data.shape[0], sizes[-1], bias=True))
        self.layers = nn.Sequential(*layers)
        dcgan_init(self, options.init)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y))


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling to `size`, then a 3x3 convolution with padding 1.

    Where `size` doubles the input, both are one transposed convolution 4x4 with stride 2, whose
    kernel sums the taps that fall on the same input pixel: the same function with 16 instead of 36
    products for each input pixel and pair of channels. `fused=False` always computes both.
    """

    def __init__(
        self, before: int, after: int, size: tuple[int, int], bias: bool = False, fused: bool = True
    ) -> None:
        super().__init__(before, after, 3, padding=1, bias=bias)
        self.size, self.fused = size, fused

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch names it so
        height, width = input.shape[2:]
        if not self.fused or self.size != (2 * height, 2 * width):
            return super().forward(interpolate(input, size=self.size))
        kernel = doubling_kernel(self.weight)
        if input.device.type != "cpu":
            return conv_transpose2d(input, kernel, self.bias, 2, 1)
        # In memory as channels_last weights are, so that all maps are.
        kernel = kernel.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        return plus(conv_transpose2d(input, kernel, None, 2, 1), self.bias)


def doubling_kernel(weight: Tensor) -> Tensor:
    """The kernel [i, o, 4, 4] equal on the input to `weight` [o, i, 3, 3] on its upsampling.

    Along one axis, output p of the convolution is sum_k w[k] x[(p + k - 1) // 2], and that of a
    transposed convolution with stride 2 and padding 1 is sum_i W[p + 1 - 2 i] x[i]; so w[k] belongs
    to W[2 - k] and to W[3 - k].
    """
    flipped = weight.transpose(0, 1).flip(2, 3)
    wide = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
    return pad(wide, (0, 0, 0, 1)) + pad(wide, (0, 0, 1, 0))
