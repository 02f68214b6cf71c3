"""Consensus optimisation: its gradient by hand, and what it does to a game that runs in circles."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from linear_networks import Linear, batch_of, points
from playing import advance
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss, NonSaturating, Relativistic, Wasserstein
from gan_cli.models.consensus import ConsensusGAN
from gan_cli.penalties import NoPenalty
from gan_cli.priors import Gaussian

X = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])


def game(gamma: float, loss: AdversarialLoss) -> ConsensusGAN:
    torch.manual_seed(0)
    return ConsensusGAN(points(3), Gaussian(2), Linear(), loss, NoPenalty(), gamma)


def losses(model: ConsensusGAN) -> tuple[Tensor, Tensor]:
    """The players' losses on X, with the latents of seed 1."""
    torch.manual_seed(1)
    real, fake = map(model.discriminator, model.pair(batch_of(X)))
    if isinstance(model.loss, Relativistic):
        return softplus(fake - real).mean(), softplus(real - fake).mean()
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()


@pytest.mark.parametrize("loss", [NonSaturating(), Relativistic()])
@pytest.mark.parametrize("gamma", [0.0, 10.0])
def test_players_move_by_v_and_gamma_times_the_gradient_of_half_its_square(
    gamma: float, loss: AdversarialLoss
) -> None:
    """Mescheder et al. 2017, Algorithm 2: grad |v|^2 / 2 is J^T v, with v's Jacobian J."""
    model = game(gamma, loss)
    weights = [*model.discriminator.parameters(), *model.generator.parameters()]
    own = len(list(model.discriminator.parameters()))
    discriminator, generator = losses(model)
    v = [
        *torch.autograd.grad(discriminator, weights[:own], create_graph=True),
        *torch.autograd.grad(generator, weights[own:], create_graph=True),
    ]
    expected = [gradient.detach().clone() for gradient in v]
    for number in torch.cat([gradient.flatten() for gradient in v]):
        row = torch.autograd.grad(number, weights, retain_graph=True, allow_unused=True)
        for wanted, slopes in zip(expected, row, strict=True):
            wanted += 0 if slopes is None else gamma * number.detach() * slopes
    torch.manual_seed(1)
    found = torch.autograd.grad(model.players_loss(batch_of(X)).total, weights)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore:loss = wasserstein with nothing that bounds")
@pytest.mark.parametrize(("gamma", "ends"), [(0.0, "farther"), (1.0, "there")])
def test_a_bilinear_game_converges_where_gradient_descent_circles_outwards(
    gamma: float, ends: str
) -> None:
    """A linear critic of a point, section 3.3 and corollary 9 of the paper."""
    model = game(gamma, Wasserstein())
    real = torch.tensor([[1.0, -1.0, 0.5]]).expand(256, 3)
    bias = model.generator.get_parameter("layer.bias")
    nn.init.zeros_(model.generator.get_parameter("layer.weight"))
    optimizer = torch.optim.SGD([bias, *model.discriminator.parameters()], lr=0.1)

    def distance() -> float:
        slope = model.discriminator.head.weight[0]
        return torch.cat([bias - real[0], slope]).norm().item()

    before = distance()
    for _ in range(300):
        optimizer.zero_grad()
        model.players_loss(batch_of(real)).total.backward()
        optimizer.step()
    assert distance() < 1e-3 if ends == "there" else distance() > 2 * before


def test_the_curves() -> None:
    session = session_of("model=consensus", "data=ring", "data.points=100")
    advance(session, 2)
    means = session.trainer.window.means()
    assert {"loss/players", "loss/discriminator", "loss/generator", "consensus"} <= means.keys()
    both = means["loss/discriminator"] + means["loss/generator"] + 10 * means["consensus"]
    assert means["loss/players"] == pytest.approx(both, rel=1e-5)


def test_a_penalty_of_its_own_updates_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"penalty = r1: model=consensus takes it with every"):
        session_of("model=consensus", "data=ring", "penalty=r1", "penalty.every=4")
