"""Encoders: a discriminator's trunk with another head; generators before their last tanh."""

from __future__ import annotations

import pytest
import torch

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP
from gan_cli.networks.pacgan import PacGANNetworks
from gan_cli.networks.resize import ResizeNetworks
from gan_cli.networks.veegan import VEEGAN

IMAGES = DataSpec("test", (1, 28, 28), 100, 3, ("a", "b", "c"))
POINTS = DataSpec("test", (2,), 100, 3, ("a", "b", "c"))
FAMILIES = [DCGAN(4), InfoGANNetworks(4), ResizeNetworks(4), VEEGAN(4), MLP(8)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_every_family_encodes_and_decodes_images(family: NetworkFamily) -> None:
    encoder = family.encoder(IMAGES, 7).eval()
    images = torch.rand(5, 1, 28, 28) * 2 - 1
    assert encoder(images).shape == (5, 7)
    generator = family.generator(6, IMAGES).eval()
    z = torch.randn(5, 6)
    squashed = generator.raw(z).tanh()
    expected = 2 * squashed - 1 if isinstance(family, VEEGAN) else squashed
    assert torch.equal(generator(z), expected)


@pytest.mark.parametrize("family", [MLP(8), PacGANNetworks(8)], ids=["mlp", "pacgan"])
def test_points_are_not_squashed(family: NetworkFamily) -> None:
    generator = family.generator(6, POINTS).eval()
    z = 1000 * torch.randn(50, 6)
    assert torch.equal(generator(z), generator.raw(z))
    assert family.encoder(POINTS, 7)(torch.randn(5, 2)).shape == (5, 7)


@pytest.mark.parametrize("family", [DCGAN(4), MLP(8)], ids=["dcgan", "mlp"])
def test_an_encoder_knows_the_class(family: NetworkFamily) -> None:
    encoder = family.encoder(IMAGES, 7, classes=3).eval()
    images = torch.zeros(2, 1, 28, 28)
    first, second = encoder(images, torch.tensor([0, 2]))
    assert not torch.allclose(first, second)


def test_an_encoder_looks_at_a_sample_and_its_label_alone() -> None:
    with pytest.raises(ConfigError, match="minibatch_discrimination: makes an encoder's output"):
        MLP(8, minibatch_discrimination=(2, 2)).encoder(POINTS, 7)
    with pytest.raises(ConfigError, match="conditioning = projection: puts labels into"):
        MLP(8, conditioning="projection").encoder(POINTS, 7, classes=3)


def test_all_of_an_encoder_s_weights_are_used() -> None:
    encoder = DCGAN(4, conditioning="projection").encoder(IMAGES, 7)
    encoder(torch.randn(4, 1, 28, 28)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_activations_of_perceptrons() -> None:
    family = MLP(8, 2, generator_activation="tanh", discriminator_activation="tanh")
    for network in (family.generator(3, POINTS), family.discriminator(POINTS)):
        kinds = {type(module).__name__ for module in network.modules()}
        assert "Tanh" in kinds
        assert not kinds & {"ReLU", "LeakyReLU"}
    with pytest.raises(ConfigError, match="generator_activation = swish: must be relu"):
        MLP(8, generator_activation="swish")  # type: ignore[arg-type]
