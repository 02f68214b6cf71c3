"""Linear encoders and decoders, whose likelihoods and optima have closed forms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gan_cli.model import Batch, DataSpec
from gan_cli.networks.family import Discriminator, Encoder, Generator, NetworkFamily


class LinearGenerator(Generator):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, norm="none", images=False)
        self.layer = nn.Linear(inputs, outputs)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layer(z)


class Same(Discriminator):
    """Its features are the points themselves."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.build_head(dim, 0)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x


class Linear(NetworkFamily):
    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return LinearGenerator(inputs, math.prod(data.shape))

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return Same(math.prod(data.shape))

    def encoder(self, data: DataSpec, outputs: int, classes: int = 0) -> Encoder:
        return Encoder(self.discriminator(data), outputs)


def points(dim: int) -> DataSpec:
    return DataSpec("points", (dim,), 1000)


def batch_of(x: Tensor, labels: Tensor | None = None) -> Batch:
    return Batch(
        torch.arange(len(x)),
        lambda index: x[index],
        lambda index: None if labels is None else labels[index],
    )
