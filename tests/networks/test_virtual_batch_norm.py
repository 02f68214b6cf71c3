"""Virtual batch norm in the generator (Salimans et al. 2016, section 3.5)."""

from __future__ import annotations

import copy

import pytest
import torch
from composing import session_of
from torch import Tensor
from torch.nn.functional import batch_norm

from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import Generator, NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.layers import REFERENCES, VirtualBatchNorm
from gan_cli.networks.mlp import MLP

IMAGES = DataSpec("test", (1, 16, 16), 10, 3, ("a", "b", "c"))
FAMILIES: dict[str, NetworkFamily] = {
    "dcgan": DCGAN(2, generator_norm="virtual_batch"),
    "infogan": InfoGANNetworks(2, generator_norm="virtual_batch"),
    "mlp": MLP(8, generator_norm="virtual_batch"),
}


def built(name: str, classes: int = 0) -> Generator:
    torch.manual_seed(0)
    return FAMILIES[name].generator(4, IMAGES, classes)


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5)], ids=["flat", "maps"])
def test_a_sample_is_normalised_by_the_reference_and_itself(shape: tuple[int, ...]) -> None:
    """As batch norm of the reference batch with that one sample added would."""
    torch.manual_seed(0)
    x = 2 + 3 * torch.randn(REFERENCES + 2, *shape)
    layer = VirtualBatchNorm(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        layer.bias.copy_(torch.tensor([0.0, -1.0, 1.0]))

    def plain(batch: Tensor) -> Tensor:
        return batch_norm(batch, None, None, layer.weight, layer.bias, training=True)

    got, reference = layer(x), x[:REFERENCES]
    torch.testing.assert_close(got[:REFERENCES], plain(reference))
    for i in (REFERENCES, REFERENCES + 1):
        both = torch.cat([reference, x[i : i + 1]])
        torch.testing.assert_close(got[i], plain(both)[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_sample_depends_on_no_other(name: str, training: bool) -> None:
    generator = built(name).train(training)
    z = torch.randn(5, 4)
    together = generator(z)
    apart = torch.cat([generator(z[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_the_reference_is_the_priors_and_stays() -> None:
    generator = built("dcgan", classes=3)
    generator.set_reference(lambda n: torch.full((n, 4), 0.5))
    kept = generator.state_dict()["reference"].clone()
    assert kept.shape == (REFERENCES, 4 + 3)
    assert (kept[:, :4] == 0.5).all()
    assert kept[:, 4:].sum(0).tolist() == [22, 21, 21]  # labels in equal shares
    generator(torch.randn(2, 4), torch.tensor([0, 1]))
    assert torch.equal(generator.state_dict()["reference"], kept)
    other = built("dcgan", classes=3)
    other.load_state_dict(generator.state_dict())
    assert other.reference is not None
    assert torch.equal(other.reference, kept)


def test_without_it_there_is_no_reference() -> None:
    generator = DCGAN(2).generator(4, IMAGES)
    generator.set_reference(lambda n: pytest.fail("drew latents that nobody needs"))
    assert generator.reference is None
    assert "reference" not in generator.state_dict()


def test_resuming_is_exact() -> None:
    overrides = ("model=dcgan", "network.width=2", "network.generator_norm=virtual_batch")
    overrides = (*overrides, "data.split=test")
    straight = session_of(*overrides)
    for _ in range(4):
        straight.trainer.advance()
    first = session_of(*overrides)
    first.trainer.advance()
    first.trainer.advance()
    second = session_of(*overrides)
    second.trainer.load_state_dict(copy.deepcopy(first.trainer.state_dict()))
    second.trainer.advance()
    second.trainer.advance()
    wanted, got = straight.trainer.state_dict()["model"], second.trainer.state_dict()["model"]
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)
    moved = session_of(*overrides).model.state_dict()
    assert torch.equal(moved["generator.reference"], got["generator.reference"])
    with second.trainer.sampling() as model:
        assert model.sample(3).isfinite().all()


@pytest.mark.parametrize("model", ["dcgan", "infogan"])
def test_games_draw_the_reference_from_their_prior(model: str) -> None:
    game = session_of(
        f"model={model}", "network.generator_norm=virtual_batch", "prior=uniform", "data.split=test"
    ).model
    reference = game.get_buffer("generator.reference")
    assert game.prior.log_prob(reference).isfinite().all()  # nothing outside [-1, 1]
    assert len(reference.unique(dim=0)) == REFERENCES


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_trains_in_any_precision(precision: str) -> None:
    session = session_of(
        "model=cgan",
        "network.width=2",
        "network.generator_norm=virtual_batch",
        f"runtime.precision={precision}",
        "data.split=test",
    )
    session.trainer.advance()
    assert not session.trainer.not_finite()
