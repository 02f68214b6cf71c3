"""The toy networks of PacGAN."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.models.gan import GAN
from gan_cli.networks.pacgan import Maxout, PacGANNetworks


def points(dimension: int, classes: int = 0) -> DataSpec:
    return DataSpec("points", (dimension,), 10, classes, tuple(map(str, range(classes))))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_papers_parameters() -> None:
    """By hand: of G 2*400 + 3*400*400 + 4*2*400 + 400*2 + 2; D sees two points in PacGAN2."""
    family = PacGANNetworks()
    assert parameters(family.generator(2, points(2))) == 484_802
    maxout = (200 + 1) * 1000
    assert parameters(family.discriminator(points(2))) == 3 * 1000 + 2 * maxout + 201
    assert parameters(family.discriminator(points(4))) == 5 * 1000 + 2 * maxout + 201


def test_maxout_by_hand() -> None:
    """Two units of two pieces: max(1, -3) and max(2, 5)."""
    assert Maxout(2, 2)(torch.tensor([[1.0, -3.0, 2.0, 5.0]])).tolist() == [[1.0, 5.0]]


def test_layers_and_initial_weights() -> None:
    torch.manual_seed(0)
    family = PacGANNetworks(width=40, discriminator_width=20)
    generator, discriminator = family.generator(2, points(3)), family.discriminator(points(3))
    kinds = [type(layer).__name__ for layer in generator.get_submodule("layers").children()]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 4 + ["Linear"]
    linear = [m for m in generator.modules() if isinstance(m, nn.Linear)]
    assert [m.bias is None for m in linear] == [True] * 4 + [False]
    assert not any(isinstance(m, nn.BatchNorm1d) for m in discriminator.modules())
    for layer in [*linear, *(m for m in discriminator.modules() if isinstance(m, nn.Linear))]:
        error = 4 * 0.02 / (2 * layer.weight.numel()) ** 0.5  # four standard errors
        assert layer.weight.std().item() == pytest.approx(0.02, abs=error)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("classes", [0, 3])
def test_any_dimension(dimension: int, classes: int) -> None:
    family = PacGANNetworks(8, discriminator_width=4)
    data = points(dimension, classes)
    generator, discriminator = (
        family.generator(2, data, classes),
        family.discriminator(data, classes),
    )
    y = torch.tensor([0, 2]) if classes else None
    x = generator(torch.randn(2, 2), y)
    assert x.shape == (2, dimension)
    assert discriminator(x, y).shape == (2,)
    assert discriminator.features(x, y).shape == (2, discriminator.width)


def test_images_are_refused() -> None:
    family, images = PacGANNetworks(), DataSpec("mnist", (1, 28, 28), 10)
    for build in (lambda: family.generator(2, images), lambda: family.discriminator(images)):
        with pytest.raises(ConfigError, match="network = pacgan: works on points, and mnist holds"):
            build()


@pytest.mark.parametrize("name", ["width", "discriminator_depth", "pieces"])
def test_absurd_values(name: str) -> None:
    with pytest.raises(ConfigError, match=f"network.{name} = 0: must be at least 1"):
        PacGANNetworks(**{name: 0})


def test_a_packed_game_trains() -> None:
    game = ("model=gan", "network=pacgan", "network.discriminator_width=4", "model.packing=2")
    session = session_of(*game, "data=ring", "data.points=100")
    session.trainer.advance()
    assert not session.trainer.not_finite()
    assert session.model.get_parameter("discriminator.first.weight").shape[1] == 4


def test_batch_norm_sees_the_packs_members_one_after_the_other() -> None:
    """As in the authors' code: the first members of all packs make a batch, then the second."""
    game = ("model=gan", "network=pacgan", "network.discriminator_width=4", "model.packing=2")
    session = session_of(*game, "data=ring", "data.points=100")
    model, batch = session.model, session.stream.batch(0)
    assert isinstance(model, GAN)
    torch.manual_seed(3)
    fakes = model._fakes(batch, None).view(-1, 2, 2)  # [packs, members, coordinates]
    torch.manual_seed(3)
    z = model.prior.sample(len(batch))
    for member in range(2):
        torch.testing.assert_close(fakes[:, member], model.generate(z[member::2]))
