"""Labels in the discriminator."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP

IMAGES = DataSpec("test", (1, 16, 16), 10, 3, ("a", "b", "c"))
PROJECTIONS: dict[str, NetworkFamily] = {
    "dcgan": DCGAN(4, conditioning="projection"),
    "infogan": InfoGANNetworks(4, conditioning="projection"),
    "mlp": MLP(8, conditioning="projection"),
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projection_is_the_papers_sum(name: str) -> None:
    """<V_y, phi(x)> + psi(phi(x)) (Miyato and Koyama 2018, Eq. 3)."""
    network = PROJECTIONS[name].discriminator(IMAGES, 3).eval()
    x, y = torch.randn(4, 1, 16, 16), torch.tensor([0, 2, 1, 2])
    assert isinstance(network.projection, nn.Embedding)
    phi, v = network.features(x, y), network.projection.weight
    wanted = [v[label] @ f + network.head(f)[0] for label, f in zip(y.tolist(), phi, strict=True)]
    torch.testing.assert_close(network(x, y), torch.stack(wanted))
    # The trunk sees no labels, and the difference between classes is linear in the features.
    assert torch.equal(network.features(x, None), phi)
    with pytest.raises(ValueError, match="needs labels"):
        network(x)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_without_classes_there_is_no_projection(name: str) -> None:
    network = PROJECTIONS[name].discriminator(IMAGES)
    assert network.projection is None
    assert network(torch.randn(2, 1, 16, 16)).shape == (2,)


@pytest.mark.parametrize("family", [DCGAN, InfoGANNetworks, MLP])
def test_other_conditionings_are_refused(family: type) -> None:
    message = "network.conditioning = projecton: must be label_bias or projection"
    with pytest.raises(ConfigError, match=message):
        family(conditioning="projecton")


def test_a_conditional_game_trains_with_it() -> None:
    session = session_of("model=cgan", "network.conditioning=projection", "data.split=test")
    discriminator = session.model.get_submodule("discriminator")
    before = discriminator.get_parameter("projection.weight").clone()
    session.trainer.advance()
    assert not torch.equal(discriminator.get_parameter("projection.weight"), before)
