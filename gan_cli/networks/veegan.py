"""The networks of VEEGAN and PacGAN for stacked MNIST, for images of any size.

Srivastava et al. 2017, section 4.2, and Lin et al. 2018, section 4.2: a DCGAN as in the TensorFlow
code of T. Kim, which both took over, with its 5x5 kernels, its padding and its initial weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.networks.layers import require_images

HALVINGS = 4
Size = tuple[int, int]


@dataclass(frozen=True)
class VEEGAN(NetworkFamily):
    """The family of Srivastava et al. 2017 for stacked MNIST.

    Args:
        width: channels of the discriminator's first layer and of the generator's last but one.
    """

    width: int = 64

    @property
    def mixes_samples(self) -> bool:
        return True

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return VEEGANGenerator(self.width, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return VEEGANDiscriminator(self.width, data, classes)


class VEEGANGenerator(Generator):
    """A dense layer and four transposed convolutions, batch norm and ReLU; 2 tanh - 1 at the end.

    In the papers real images lie in [0, 1] and the generator ends in tanh, which reaches down to
    -1. Images lie in [-1, 1] here, which is x -> 2 x - 1 of theirs; so the generator's range
    becomes [-3, 1], and the discriminator's input, (x + 1) / 2, is exactly the papers'. Pictures
    show all values below -1 as black.
    """

    def __init__(self, width: int, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes)
        sizes = halves(data)[::-1]
        channels = [width * 8, width * 4, width * 2, width, data.shape[0]]
        (height, across), first = sizes[0], channels[0]
        layers: list[nn.Module] = [
            nn.Linear(inputs + classes, first * height * across),
            nn.Unflatten(1, (first, height, across)),
        ]
        for (before, after), size in zip(pairwise(channels), sizes[1:], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), up(before, after, size)]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.conditioned(z, y))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return 2 * super().forward(z, y) - 1


class VEEGANDiscriminator(Discriminator):
    """Four convolutions, LeakyReLU .2, batch norm from the second on; one linear output.

    Its input is (x + 1) / 2: see the generator.
    """

    def __init__(self, width: int, data: DataSpec, classes: int) -> None:
        super().__init__()
        sizes = halves(data)
        channels = [width, width * 2, width * 4, width * 8]
        self.first = down(data.shape[0], width, sizes[0])
        self.label = self.label_bias(classes, width)
        layers: list[nn.Module] = []
        for (before, after), size in zip(pairwise(channels), sizes[1:-1], strict=True):
            layers += [down(before, after, size), nn.BatchNorm2d(after)]
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.build_head(channels[-1] * sizes[-1][0] * sizes[-1][1], classes)
        initialise(self)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = self.label(self.first((x + 1) / 2), y)
        return self.trunk(leaky_relu(first, 0.2, inplace=True))


def halves(data: DataSpec) -> list[Size]:
    """Sizes (height, width) from the image down, each half of the last and rounded up.

    28 gives 28, 14, 7, 4, 2.

    Raises:
        ConfigError: points instead of images.
    """
    require_images(data, "veegan")
    sizes: list[Size] = [(data.shape[1], data.shape[2])]
    for _ in range(HALVINGS):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def down(before: int, after: int, size: Size) -> nn.Sequential:
    """The convolution 5x5 with stride 2 of a map of `size`, padded as TensorFlow's "SAME".

    An odd side is padded by two zeros at both ends, an even one by one before and two behind.
    """
    top, left = (1 + side % 2 for side in size)
    return nn.Sequential(nn.ZeroPad2d((left, 2, top, 2)), nn.Conv2d(before, after, 5, 2))


def up(before: int, after: int, size: Size) -> nn.Sequential:
    """The transposed convolution to a map of `size`: the adjoint of `down` on such a map."""
    top, left = (1 + side % 2 for side in size)
    # Padding crops both ends alike, which leaves one row too many behind an even side.
    grow = nn.ConvTranspose2d(before, after, 5, 2, (top, left))
    return nn.Sequential(grow, nn.ZeroPad2d((0, left - 2, 0, top - 2)))


def initialise(network: nn.Module) -> None:
    """Weights from N(0, .02), those of convolutions without its tails; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(layer, nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
