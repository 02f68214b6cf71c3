"""What every network family offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec


class Generator(nn.Module, ABC):
    """Latents [n, inputs] and, where `classes` > 0, labels [n] to samples [n, *shape]."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes

    def conditioned(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The latent with the one-hot label beside it (Mirza and Osindero 2014, Eq. 2)."""
        if not self.classes:
            return z
        if y is None:
            raise ValueError("a conditional generator needs labels")
        return torch.cat([z, one_hot(y, self.classes).to(z.dtype)], dim=1)

    @abstractmethod
    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode."""


class Discriminator(nn.Module, ABC):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to outputs [n]."""

    width: int  # of the features
    head: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.projection: nn.Embedding | None = None

    @abstractmethod
    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the trunk makes of samples: [n, width]."""

    def judge(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The output [n] on features [n, width]; in fp32, whatever the networks compute in.

        With a projection V of the labels it is <V_y, features> + psi(features)
        (Miyato and Koyama 2018, Eq. 3), where psi is the linear head.
        """
        output = self.head(features).squeeze(1).float()
        if self.projection is None:
            return output
        if y is None:
            raise ValueError("a conditional discriminator needs labels")
        return output + (self.projection(y) * features).sum(1).float()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The output [n]: a logit, or a critic's value."""
        return self.judge(self.features(x, y), y)

    def condition(self, conditioning: str, classes: int, width: int) -> LabelBias:
        """Let labels in, by "projection" on the features or by the returned "label_bias".

        Args:
            conditioning: which of the two.
            classes: number of them; 0 for none, where there is nothing to do.
            width: channels of the layer that the bias is for.
        """
        if classes and conditioning == "projection":
            self.projection = nn.Embedding(classes, self.width)
            bound = self.width**-0.5  # as torch begins the linear layer beside it
            nn.init.uniform_(self.projection.weight, -bound, bound)
            return LabelBias(0, width)
        return LabelBias(classes, width)


class LabelBias(nn.Module):
    """A learned vector for each class, added to a layer's output before its activation.

    It is what a one-hot label beside the layer's input amounts to, since a linear layer turns that
    into one row of weights, and a convolution turns constant planes into one value per channel.
    Without classes it adds nothing.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, width) if classes else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """`x` [n, width, ...] plus the vector of each label [n]."""
        if self.table is None:
            return x
        if y is None:
            raise ValueError("a conditional discriminator needs labels")
        bias = self.table(y)
        return x + bias.view(*bias.shape, *[1] * (x.dim() - 2))


class NetworkFamily(ABC):
    """Builds the two players for a data set."""

    mixes_samples = False  # whether the discriminator's output on a sample depends on the others
    lipschitz = False  # whether the discriminator's slope is bounded whatever its weights

    @abstractmethod
    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        """A network from latents of size `inputs` to samples of `data`."""

    @abstractmethod
    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        """A network from samples of `data` to one output each."""


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """`value` where it is one of `choices`."""
    if value not in choices:
        words = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ConfigError(f"network.{name} = {value}: must be {words}")
    return value


def conditioning_of(value: str) -> str:
    """The setting `network.conditioning`, checked."""
    return one_of("conditioning", value, ("label_bias", "projection"))


def positive(name: str, value: int) -> int:
    """`value` where it is at least 1."""
    if value < 1:
        raise ConfigError(f"network.{name} = {value}: must be at least 1")
    return value


def pyramid(data: DataSpec, family: str, smallest: int = 3) -> list[tuple[int, int]]:
    """Sizes (height, width) from the image down to the coarsest map, each half of the last.

    Halving rounds down and goes on while both sides of the next map are at least `smallest`, so
    64 gives 64, 32, 16, 8, 4 and 28 gives 28, 14, 7, 3. A transposed convolution with the matching
    output padding goes the same way back, whatever the parity.

    Raises:
        ConfigError: points instead of images, or a side too small to be halved once.
    """
    if not data.is_image:
        raise ConfigError(
            f"network = {family}: works on images, and {data.name} holds points of dimension "
            f"{data.shape[0]}; use network=mlp"
        )
    height, width = data.shape[1:]
    least = 2 * smallest
    if min(height, width) < least:
        near = f"[{max(height, least)},{max(width, least)}]"
        raise ConfigError(
            f"data.size = [{height},{width}]: network={family} needs at least {least} pixels a "
            f"side; the nearest size that works is {near}, or use network=mlp"
        )
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= smallest:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def upsample(
    before: int, after: int, small: tuple[int, int], big: tuple[int, int], bias: bool = False
) -> nn.ConvTranspose2d:
    """The transposed convolution 4x4 from a map of size `small` to one of size `big`."""
    odd = (big[0] - 2 * small[0], big[1] - 2 * small[1])
    return nn.ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=bias)


def dcgan_init(module: nn.Module) -> None:
    """Weights from N(0, .02), norms' gains from N(1, .02), biases 0 (Radford et al. 2016, s. 4)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
