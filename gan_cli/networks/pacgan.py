"""The toy networks of PacGAN (Lin et al. 2018, section 4.1 and its code), for points.

These, and those of VEEGAN, come from the code of ALI (Dumoulin et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily

EPS, MOMENTUM = 1e-4, 0.05  # of batch norm in the authors' code


@dataclass(frozen=True)
class PacGANNetworks(NetworkFamily):
    """The family of Lin et al. 2018 for points of any dimension.

    Args:
        width: units of the generator's layers.
        depth: the generator's hidden layers.
        discriminator_width: units of the discriminator's layers.
        discriminator_depth: its hidden layers.
        pieces: linear functions for each of its units.
    """

    width: int = 400
    depth: int = 4
    discriminator_width: int = 200
    discriminator_depth: int = 3
    pieces: int = 5

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return PacGANGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return PacGANDiscriminator(self, data, classes)


class PacGANGenerator(Generator):
    """Layers without bias, batch norm and ReLU; one linear layer with bias at the end."""

    def __init__(self, options: PacGANNetworks, inputs: int, data: DataSpec, classes: int) -> None:
        require_points(data)
        super().__init__(inputs, classes, images=False)
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs + classes] + [options.width] * options.depth):
            norm = nn.BatchNorm1d(after, EPS, MOMENTUM)
            layers += [nn.Linear(before, after, bias=False), norm, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.width, data.shape[0]))
        initialise(self)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.conditioned(z, y))


class PacGANDiscriminator(Discriminator):
    """Maxout layers and a linear output, without any norm."""

    def __init__(self, options: PacGANNetworks, data: DataSpec, classes: int) -> None:
        require_points(data)
        super().__init__()
        width, pieces = options.discriminator_width, options.pieces
        self.first = nn.Linear(data.shape[0], width * pieces)
        self.label = self.label_bias(classes, width * pieces)
        trunk: list[nn.Module] = [Maxout(width, pieces)]
        for _ in range(options.discriminator_depth - 1):
            trunk += [nn.Linear(width, width * pieces), Maxout(width, pieces)]
        self.trunk = nn.Sequential(*trunk)
        self.build_head(width, classes)
        initialise(self)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.trunk(self.label(self.first(x), y))


class Maxout(nn.Module):
    """The largest of several linear functions, for each unit (Goodfellow et al. 2013, Eq. 1)."""

    def __init__(self, units: int, pieces: int) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces

    def forward(self, x: Tensor) -> Tensor:
        """The linear functions' values [n, units * pieces] to [n, units]."""
        return x.view(-1, self.units, self.pieces).amax(2)


def initialise(network: nn.Module) -> None:
    """Weights from N(0, .02), biases 0; batch norm starts as the identity."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def require_points(data: DataSpec) -> None:
    """Refuse images."""
    if data.is_image:
        raise ConfigError(
            f"network = pacgan: works on points, and {data.name} holds images; use network=veegan, "
            "their networks for images, or another"
        )
