"""Fully connected networks, for points and small images.

Layers keep torch's initial weights: their biases are spread out, without which every unit of a
network on the line would bend at 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, StandardFamily
from gan_cli.networks.layers import Activation, Norm, activation, norm, normalise_spectrum


@dataclass(frozen=True)
class MLP(StandardFamily):
    """Multilayer perceptrons; the discriminator has no norm.

    Args:
        width: units of each hidden layer.
        depth: hidden layers.
        generator_activation: one of `ACTIVATIONS`.
        discriminator_activation: the same.
    """

    width: int = 512
    depth: int = 3
    discriminator_norm: Literal["batch", "layer", "none"] = field(default="none", init=False)
    generator_norm: Norm = field(default="none", kw_only=True)
    generator_activation: Activation = "relu"
    discriminator_activation: Activation = "leaky_relu"

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return MLPGenerator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return MLPDiscriminator(self, data, classes)

    def joint_discriminator(self, data: DataSpec, latents: int) -> Discriminator:
        """Of pairs: the latent is a part of the first layer's input."""
        size = math.prod(data.shape) + latents
        return self.discriminator(replace(data, shape=(size,)))


class MLPGenerator(Generator):
    """Hidden layers, with ReLU by default; tanh at the end for images, nothing for points."""

    def __init__(self, options: MLP, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, options.generator_norm, data.is_image)
        self.shape = data.shape
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs + classes] + [options.width] * options.depth):
            layers.append(nn.Linear(before, after))
            if options.generator_norm != "none":
                layers.append(norm(options.generator_norm, after, flat=True))
            layers.append(activation(options.generator_activation))
        layers.append(nn.Linear(options.width, math.prod(data.shape)))
        self.layers = nn.Sequential(*layers)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.run(self.layers, self.conditioned(z, y)).view(-1, *self.shape)


class MLPDiscriminator(Discriminator):
    """Hidden layers on the flattened sample, with LeakyReLU .2 by default; one linear output."""

    def __init__(self, options: MLP, data: DataSpec, classes: int) -> None:
        super().__init__(options)
        width, active = options.width, options.discriminator_activation
        self.first = nn.Linear(math.prod(data.shape), width)
        self.active = activation(active)
        self.label = self.label_bias(classes, width)
        trunk: list[nn.Module] = []
        for _ in range(options.depth - 1):
            trunk += [nn.Linear(width, width), activation(active)]
        self.trunk = nn.Sequential(*trunk)
        self.build_head(width, classes)
        # Spectral norm moves its vectors with every pass.
        self.joint = not (options.mixes_samples or options.spectral_norm)
        if options.spectral_norm:
            normalise_spectrum(self, but=self.label)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first = self.label(self.first(x.flatten(1)), y)
        return self.with_closeness(self.trunk(self.active(first)))
