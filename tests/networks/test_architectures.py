"""The options of network families and their defaults."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.layers import ACTIVATIONS, Activation, activation
from gan_cli.networks.mlp import MLP

IMAGES = DataSpec("test", (1, 16, 16), 10)


# Values recorded before the families had any of these settings.
@pytest.mark.parametrize(
    ("family", "side", "classes", "outputs", "total"),
    [
        (DCGAN(4), 16, 0, [0.0014170981, 0.00203459291, -0.00203837827], 27.8268235),
        (DCGAN(4), 16, 3, [-0.0484509021, -0.0138811059, 0.039361421], 28.327074),
        (
            DCGAN(4, discriminator_norm="layer"),
            16,
            0,
            [0.000217607259, -0.00586238503, -0.0019358818],
            27.8268235,
        ),
        (InfoGANNetworks(4), 16, 0, [0.000346562185, 0.0263788402, 0.0267413203], 27.2645404),
        (InfoGANNetworks(4), 16, 3, [0.0856722072, -0.117120385, -0.00110028125], 32.3163973),
        (MLP(8, 2), 8, 0, [0.0283530056, 0.0275840163, 0.0256959945], 36.7277394),
        (MLP(8, 2), 8, 3, [0.116535924, 0.157293022, 0.257445753], 35.3921944),
    ],
    ids=["dcgan", "dcgan3", "layer", "infogan", "infogan3", "mlp", "mlp3"],
)
def test_the_same_seed_gives_the_same_networks_as_ever(
    family: NetworkFamily, side: int, classes: int, outputs: list[float], total: float
) -> None:
    data = DataSpec("t", (1, side, side), 10, classes)
    torch.manual_seed(0)
    generator, discriminator = (
        family.generator(5, data, classes),
        family.discriminator(data, classes),
    )
    z, y = torch.randn(3, 5), torch.arange(3) if classes else None
    x = generator(z, y)
    assert x.double().abs().sum().item() == pytest.approx(total, rel=1e-5)
    assert discriminator(x, y).tolist() == pytest.approx(outputs, rel=1e-3, abs=1e-6)


def test_activations_by_hand() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0])
    wanted = {
        "relu": [0, 0, 2],
        "leaky_relu": [-0.2, 0, 2],
        "silu": [-1 / (1 + math.e), 0, 2 / (1 + math.exp(-2))],
        "softplus": [math.log(2) / 2 - 1, math.log1p(math.exp(2)) / 2 - 1, 2.001238],
        "tanh": [math.tanh(-1), 0, math.tanh(2)],
        "linear": [-1, 0, 2],
    }
    assert set(wanted) == set(ACTIVATIONS)
    for name in ACTIVATIONS:
        assert activation(name)(x.clone()).tolist() == pytest.approx(wanted[name], abs=1e-5)


@pytest.mark.parametrize("active", sorted({*ACTIVATIONS} - {"linear"}))
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_any_architecture_of_the_table(
    active: Activation, norm: Literal["batch", "layer", "none"]
) -> None:
    """Gulrajani et al. 2017, table 1."""
    torch.manual_seed(0)
    family = DCGAN(
        2,
        discriminator_norm=norm,
        generator_norm=norm,
        generator_activation=active,
        discriminator_activation=active,
        generator_depth=2,
        discriminator_depth=3,
        discriminator_width=4,
    )
    generator, discriminator = family.generator(4, IMAGES), family.discriminator(IMAGES)
    x = generator(torch.randn(3, 4))
    assert x.shape == (3, 1, 16, 16)
    discriminator(x).sum().backward()
    for network in (generator, discriminator):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    kind = type(activation(active))
    # Maps of 4 and 8 pixels in the generator, of 8 and 4 in the discriminator.
    assert sum(isinstance(m, kind) for m in generator.modules()) >= 2 * 2
    assert sum(isinstance(m, kind) for m in discriminator.modules()) == 2 * 3
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [4, 4, 4, 8, 8, 8]
    assert all((m.bias is None) is (norm != "none") for m in convolutions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator_norm": "btach"}, "network.generator_norm = btach: must be batch, virtual_"),
        ({"discriminator_norm": "virtual_batch"}, "virtual_batch: must be batch, layer or none"),
        ({"generator_activation": "gelu"}, "generator_activation = gelu: must be relu, leaky_"),
        ({"discriminator_activation": "elu"}, "discriminator_activation = elu: must be relu"),
        ({"generator_depth": 0}, "network.generator_depth = 0: must be at least 1"),
        ({"discriminator_depth": 0}, "network.discriminator_depth = 0: must be at least 1"),
        ({"discriminator_width": 0}, "network.discriminator_width = 0: must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DCGAN(**settings)


def test_a_linear_generator_is_an_affine_map() -> None:
    torch.manual_seed(0)
    points = DataSpec("points", (2,), 100)
    generator = MLP(8, 3, generator_activation="linear").generator(3, points)
    a, b, t = torch.randn(5, 3), torch.randn(5, 3), 1.7
    between = generator(a + t * (b - a))
    torch.testing.assert_close(between, generator(a) + t * (generator(b) - generator(a)))
