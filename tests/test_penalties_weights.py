"""Penalties on weights: on matrices known by heart, and their way into a game."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.losses import Relativistic, Wasserstein
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.gan import GAN
from gan_cli.networks.layers import normalise_spectrum
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import NoPenalty, Orthogonal, Penalty
from gan_cli.priors import Gaussian

W = torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # W W^T = [[1, 1], [1, 2]]


def layer(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        made.weight.copy_(weight)
    return made


def test_golden_values() -> None:
    # Off the diagonal 1 and 1; on it, less I, 0 and 1. Biases do not count.
    assert Orthogonal(weight=0.5).regularise(layer(W)).item() == pytest.approx(0.5 * 2)
    term = Orthogonal(weight=0.5, diagonal=True).regularise(layer(W))
    assert term.item() == pytest.approx(0.5 * 3)


def test_filters_are_rows_and_layers_add_up() -> None:
    filters = nn.Conv2d(1, 2, (1, 2))
    with torch.no_grad():
        filters.weight.copy_(W.view(2, 1, 1, 2))
    both = nn.Sequential(filters, layer(W), nn.BatchNorm1d(2))
    assert Orthogonal(weight=1.0).regularise(both).item() == pytest.approx(4.0)


def test_rows_at_right_angles_of_any_length_cost_nothing() -> None:
    free = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 0.2]])
    assert Orthogonal(weight=1.0).regularise(layer(free)).item() == 0
    assert Orthogonal(weight=1.0, diagonal=True).regularise(layer(free)).item() > 60
    turned = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
    term = Orthogonal(weight=1.0, diagonal=True).regularise(layer(turned))
    assert term.item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_gradient_is_that_of_the_formula(diagonal: bool) -> None:
    """4 (W W^T o M) W without the diagonal, 4 (W W^T - I) W with it."""
    network = layer(torch.randn(3, 5, generator=torch.Generator().manual_seed(1))).double()
    Orthogonal(weight=2.0, diagonal=diagonal).regularise(network).backward()
    w, eye = network.weight.detach(), torch.eye(3, dtype=torch.float64)
    inner = w @ w.T - eye if diagonal else (w @ w.T) * (1 - eye)
    assert network.weight.grad is not None
    torch.testing.assert_close(network.weight.grad, 2 * 4 * inner @ w)
    assert network.bias.grad is None


def test_the_authors_code_adds_half_of_that() -> None:
    """The first numbers that BigGAN-PyTorch's `utils.ortho` adds to a gradient, weight 1."""
    network = nn.Conv2d(3, 4, (2, 1))
    network.weight.data = torch.sin(torch.arange(24.0) ** 2).view(4, 3, 2, 1)
    Orthogonal(weight=0.5).regularise(network).backward()
    assert network.weight.grad is not None
    authors = [3.8744, 5.50866, -7.50962, 6.62913, 4.80239, -1.39328]
    assert network.weight.grad.flatten()[:6].tolist() == pytest.approx(authors, abs=2e-5)


@pytest.mark.filterwarnings("ignore:loss = wasserstein with nothing")
def test_of_both_players_or_of_one() -> None:
    terms = {}
    for of in ("generator", "discriminator", "both"):
        game = gan(Orthogonal(weight=0.5, of=of))
        torch.manual_seed(1)
        found = {
            phase.name: phase.loss(Batch(torch.arange(8), lambda i: POINTS[i], lambda i: None)).logs
            for phase in game.phases()
        }
        terms[of] = {name for name, logs in found.items() if "penalty/orthogonal" in logs}
    assert terms == {
        "generator": {"generator"},
        "discriminator": {"critic"},
        "both": {"generator", "critic"},
    }


def test_it_is_computed_in_fp32_under_autocast() -> None:
    network = layer(torch.randn(8, 64, generator=torch.Generator().manual_seed(2)))
    exact = Orthogonal(weight=1.0).regularise(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(Orthogonal(weight=1.0).regularise(network), exact)


def test_a_network_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="penalty = orthogonal: the discriminator has no weight"):
        Orthogonal().regularise(nn.LayerNorm(3))


POINTS = torch.randn(8, 2, generator=torch.Generator().manual_seed(3))


def gan(penalty: Penalty) -> GAN:
    torch.manual_seed(0)
    return GAN(DataSpec("points", (2,), 8), Gaussian(3), MLP(6, 2), Wasserstein(), penalty)


@pytest.mark.filterwarnings("ignore:loss = wasserstein with nothing")
@pytest.mark.parametrize("every", [1, 4])
def test_it_joins_the_discriminators_loss_or_has_a_phase_of_its_own(every: int) -> None:
    def batch() -> Batch:
        torch.manual_seed(1)
        return Batch(torch.arange(8), lambda i: POINTS[i], lambda i: None)

    game, bare = gan(Orthogonal(weight=0.5, every=every)), gan(Orthogonal(weight=0.0))
    term = game.penalty.regularise(game.discriminator)
    assert term.item() > 0
    phases = {phase.name: phase for phase in game.phases()}
    assert set(phases) == {"critic", "generator"} | ({"critic_penalty"} if every > 1 else set())
    without = bare.phases()[0].loss(batch())
    played = phases["critic"].loss(batch())
    alone = phases["critic_penalty"].loss(batch()) if every > 1 else played
    torch.testing.assert_close(alone.logs["penalty/orthogonal"], term.detach())
    assert played.logs.keys() >= without.logs.keys() - {"penalty/orthogonal"}
    if every == 1:
        torch.testing.assert_close(played.total, without.total + term)
    else:
        torch.testing.assert_close(played.total, without.total)
        torch.testing.assert_close(alone.total, every * term)
        assert phases["critic_penalty"].every == every


@pytest.mark.filterwarnings("ignore:loss = wasserstein with nothing")
def test_it_joins_the_generators_loss_where_it_is_the_generators() -> None:
    """As in Brock et al. 2019; the critic's loss then has none of it."""

    def loss(game: GAN, name: str) -> Loss:
        torch.manual_seed(1)
        batch = Batch(torch.arange(8), lambda i: POINTS[i], lambda i: None)
        return next(phase for phase in game.phases() if phase.name == name).loss(batch)

    game, bare = gan(Orthogonal(weight=0.5, of="generator")), gan(NoPenalty())
    term = game.penalty.regularise(game.generator)
    assert term.item() > 0
    torch.testing.assert_close(loss(game, "generator").total, loss(bare, "generator").total + term)
    torch.testing.assert_close(loss(game, "generator").logs["penalty/orthogonal"], term.detach())
    torch.testing.assert_close(loss(game, "critic").total, loss(bare, "critic").total)
    assert "penalty/orthogonal" not in loss(game, "critic").logs


def test_the_generators_has_no_lazy_form_and_needs_a_generator() -> None:
    with pytest.raises(ValueError, match=r"every = 4: must be 1 with penalty.of = generator; set"):
        Orthogonal(every=4, of="generator")
    with pytest.raises(
        ConfigError, match=r"penalty.of = generator: this model has no generator; se"
    ):
        session_of("model=energy", "data=mnist", "data.split=test", "penalty=orthogonal")


def test_embeddings_of_classes_are_left_alone() -> None:
    """With spectral norm too, where the embedding's own weight is the parametrization's."""
    torch.manual_seed(0)
    table, weight = nn.Embedding(3, 4), nn.Linear(4, 4)
    both = nn.ModuleList([table, weight])
    alone = Orthogonal(weight=1.0).regularise(weight)
    torch.testing.assert_close(Orthogonal(weight=1.0).regularise(both), alone)
    normalise_spectrum(table)
    torch.testing.assert_close(Orthogonal(weight=1.0).regularise(both), alone)


def test_statistics_of_losses_that_compare_are_about_pairs() -> None:
    """Outputs 2, -1 for real and .5, -3 for fake: three of four pairs are in the right order."""
    game = GAN(DataSpec("t", (2,), 1), Gaussian(2), MLP(4, 1), Relativistic(), NoPenalty())
    seen = game.statistics(torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0]))
    assert set(seen) == {"output/real", "output/fake", "accuracy/all"}
    assert seen["accuracy/all"].item() == 0.75
