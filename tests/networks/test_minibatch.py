"""Minibatch discrimination (Salimans et al. 2016, section 3.2)."""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import MinibatchDiscrimination, NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP

IMAGES = DataSpec("test", (1, 16, 16), 10)
FAMILIES: dict[str, NetworkFamily] = {
    "dcgan": DCGAN(4, discriminator_norm="none", minibatch_discrimination=(3, 2)),
    "infogan": InfoGANNetworks(4, discriminator_norm="none", minibatch_discrimination=(3, 2)),
    "mlp": MLP(8, minibatch_discrimination=(3, 2)),
}


def test_by_hand() -> None:
    """Two features, two kernels of dimension 1; distances 1 and 3, 2 and 2, 1 and 1."""
    layer = MinibatchDiscrimination(2, 2, 1)
    with torch.no_grad():
        layer.tensor.weight.copy_(torch.eye(2))
    x = torch.tensor([[0.0, 0.0], [1.0, 3.0], [2.0, 2.0]])
    e = math.exp
    wanted = [
        [1 + e(-1) + e(-2), 1 + e(-3) + e(-2)],
        [1 + e(-1) + e(-1), 1 + e(-3) + e(-1)],
        [1 + e(-2) + e(-1), 1 + e(-2) + e(-1)],
    ]
    torch.testing.assert_close(layer(x), torch.cat([x, torch.tensor(wanted)], 1))


def test_rows_of_a_kernel_are_summed() -> None:
    """One kernel of dimension 2: the L1 distance of (0, 0) and (1, 3) is 4."""
    layer = MinibatchDiscrimination(2, 1, 2)
    nn.init.eye_(layer.tensor.weight)
    o = layer(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))[:, 2]
    torch.testing.assert_close(o, torch.full((2,), 1 + math.exp(-4)))


@pytest.mark.parametrize("name", FAMILIES)
def test_it_sees_the_others(name: str) -> None:
    torch.manual_seed(0)
    family = FAMILIES[name]
    network = family.discriminator(IMAGES).eval()
    x = torch.randn(3, 1, 16, 16)
    assert network.features(x).shape == (3, network.width)
    others = torch.cat([x[:1], torch.randn(2, 1, 16, 16)])
    alone, crowd = network.features(x)[0], network.features(others)[0]
    torch.testing.assert_close(alone[:-3], crowd[:-3])
    assert (alone[-3:] != crowd[-3:]).any()
    assert family.mixes_samples
    assert not family.lipschitz


def test_gradients_twice() -> None:
    layer = MinibatchDiscrimination(3, 2, 2)
    features = torch.randn(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(features).square().sum(), features, create_graph=True)
    gradient.square().sum().backward()
    assert layer.tensor.weight.grad is not None
    assert layer.tensor.weight.grad.isfinite().all()


def test_refusals() -> None:
    message = r"network.minibatch_discrimination = \[0,5\]: kernels and their dimension must both"
    with pytest.raises(ConfigError, match=message):
        DCGAN(minibatch_discrimination=(0, 5))
    with pytest.raises(ConfigError, match="must be a list of 2 whole numbers or null"):
        session_of("model=dcgan", "network.minibatch_discrimination=[3]")


def test_a_game_trains_with_it() -> None:
    session = session_of("network.minibatch_discrimination=[4,2]", "data.split=test")
    tensor = session.model.get_parameter("discriminator.crowd.tensor.weight")
    before = tensor.clone()
    session.trainer.advance()
    assert not torch.equal(tensor, before)
