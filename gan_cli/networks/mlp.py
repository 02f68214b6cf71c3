"""Fully connected networks, for points and small images.

Layers keep torch's initial weights: their biases are spread out, without which every unit of a
network on the line would bend at 0.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from gan_cli.model import DataSpec
from gan_cli.networks.family import (
    Discriminator,
    Generator,
    NetworkFamily,
    Traits,
    one_of,
    positive,
)
from gan_cli.networks.layers import ACTIVATIONS, NORMS, activation, norm, normalise_spectrum


class MLPGenerator(Generator):
    """Hidden layers, ReLU's as a rule; tanh at the end for images, nothing for points."""

    def __init__(
        self,
        inputs: int,
        data: DataSpec,
        width: int,
        depth: int,
        classes: int,
        kind: str = "none",
        active: str = "relu",
    ) -> None:
        super().__init__(inputs, classes, kind, data.is_image)
        self.shape = data.shape
        sizes = [inputs + classes] + [width] * depth
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers.append(nn.Linear(before, after))
            if kind != "none":
                layers.append(norm(kind, after, flat=True))
            layers.append(activation(active))
        layers.append(nn.Linear(width, math.prod(data.shape)))
        self.layers = nn.Sequential(*layers)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y)).view(-1, *self.shape)


class MLPDiscriminator(Discriminator):
    """Hidden layers, LeakyReLU's .2 as a rule, on the flattened sample; one linear output."""

    def __init__(
        self,
        data: DataSpec,
        width: int,
        depth: int,
        classes: int,
        traits: Traits,
        active: str = "leaky_relu",
    ) -> None:
        super().__init__(traits)
        self.first = nn.Linear(math.prod(data.shape), width)
        self.active = activation(active)
        self.label = self.label_bias(classes, width)
        trunk: list[nn.Module] = []
        for _ in range(depth - 1):
            trunk += [nn.Linear(width, width), activation(active)]
        self.trunk = nn.Sequential(*trunk)
        self.build_head(width, classes)
        if traits.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = self.label(self.first(x.flatten(1)), y)
        return self.crowded(self.trunk(self.active(first)))


class MLP(NetworkFamily):
    """Multilayer perceptrons.

    Args:
        width: units of each hidden layer.
        depth: hidden layers.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018).
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); null for none.
        generator_norm: "none", "batch", "virtual_batch" (Salimans et al. 2016) or "layer".
        generator_activation: "relu", "leaky_relu", "silu", "softplus", "tanh" or "linear".
        discriminator_activation: the same.
    """

    def __init__(
        self,
        width: int = 512,
        depth: int = 3,
        spectral_norm: bool = False,
        conditioning: str = "label_bias",
        minibatch_discrimination: tuple[int, int] | None = None,
        generator_norm: str = "none",
        generator_activation: str = "relu",
        discriminator_activation: str = "leaky_relu",
    ) -> None:
        self.width, self.depth = positive("width", width), positive("depth", depth)
        self.traits = Traits("none", spectral_norm, conditioning, minibatch_discrimination)
        self.mixes_samples, self.lipschitz = self.traits.mixes_samples, self.traits.lipschitz
        self.generator_norm = one_of("generator_norm", generator_norm, NORMS)
        self.generator_activation = one_of(
            "generator_activation", generator_activation, ACTIVATIONS
        )
        self.discriminator_activation = one_of(
            "discriminator_activation", discriminator_activation, ACTIVATIONS
        )

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        shape = (self.width, self.depth, classes)
        return MLPGenerator(inputs, data, *shape, self.generator_norm, self.generator_activation)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        shape = (self.width, self.depth, classes)
        return MLPDiscriminator(data, *shape, self.traits, self.discriminator_activation)
