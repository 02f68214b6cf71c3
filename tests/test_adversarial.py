"""What games between a generator and a discriminator share, on numbers computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.losses import LeastSquares, NonSaturating, Wasserstein
from gan_cli.model import DataSpec
from gan_cli.models.adversarial import judged, lazy, verdicts
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import R1, GradientPenalty, NoPenalty

REAL, FAKE = torch.tensor([2.0, -1.0, 1.0, 0.5]), torch.tensor([0.5, -3.0, -1.0, -2.0])


def test_verdicts_of_probabilities() -> None:
    seen = {name: value.item() for name, value in verdicts(NonSaturating(), REAL, FAKE).items()}
    assert seen == pytest.approx(
        {
            "output/real": 0.625,
            "output/fake": -1.375,
            "accuracy/real": 0.75,
            "accuracy/fake": 0.75,
            "accuracy/all": 0.75,
            # sigmoids: .880797 .268941 .731059 .622459 and .622459 .047426 .268941 .119203
            "probability/real": 0.625814,
            "probability/fake": 0.264507,
        },
        abs=1e-6,
    )


def test_accuracy_is_about_the_loss_s_own_boundary() -> None:
    """Half way between the labels 0 and 1; real and fake are told apart differently."""
    seen = verdicts(LeastSquares(), torch.tensor([0.6, 0.4]), torch.tensor([0.4, 0.1]))
    assert seen["accuracy/real"].item() == 0.5
    assert seen["accuracy/fake"].item() == 1.0
    assert "probability/real" not in seen


def test_a_critic_gives_the_estimate_and_no_accuracy() -> None:
    seen = verdicts(Wasserstein(), REAL, FAKE)
    assert seen["wasserstein_estimate"].item() == pytest.approx(2.0)
    assert set(seen) == {"output/real", "output/fake", "wasserstein_estimate"}


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def score(x: Tensor) -> Tensor:
    """Slope 3 everywhere: R1 is weight / 2 * 9."""
    return 3 * x[:, 0]


def test_the_penalty_is_added_to_the_loss() -> None:
    loss = Wasserstein()
    game = judged(loss, R1(weight=4.0), score, (X, -X), (REAL, FAKE))
    assert game.logs["penalty/r1"].item() == pytest.approx(18.0)
    assert game.total.item() == pytest.approx(loss.discriminator(REAL, FAKE).item() + 18.0)
    bare = judged(loss, NoPenalty(), score, (X, -X), (REAL, FAKE))
    assert bare.total.item() == pytest.approx(-2.0)
    assert not any(name.startswith("penalty") for name in bare.logs)


def test_a_lazy_penalty_is_left_to_its_own_phase_and_is_stronger_there() -> None:
    penalty = R1(weight=4.0, every=16)
    game = judged(Wasserstein(), penalty, score, (X, -X), (REAL, FAKE))
    assert game.total.item() == pytest.approx(-2.0)
    alone = lazy(penalty, penalty(score, X, -X))
    assert alone.total.item() == pytest.approx(16 * 18.0)
    assert alone.logs["penalty/r1"].item() == pytest.approx(18.0)


def test_the_gradient_penalty_reaches_the_loss() -> None:
    game = judged(Wasserstein(), GradientPenalty(10.0), score, (X, -X), (REAL, FAKE))
    assert game.total.item() == pytest.approx(-2.0 + 10 * (3 - 1) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("network", "slope"),
    [
        (DCGAN(4, "none").discriminator(DataSpec("t", (1, 8, 8), 1)), 0.2),
        (MLP(4, 1).discriminator(DataSpec("t", (1, 8, 8), 1)), 0.2),
        (InfoGANNetworks(4).discriminator(DataSpec("t", (1, 12, 12), 1)), 0.1),
    ],
)
def test_the_first_layer_leaks_as_its_paper_says(network: nn.Module, slope: float) -> None:
    """Radford et al. 2016: .2; Chen et al. 2016, table 1: .1."""
    seen: list[Tensor] = []
    first, size = network.get_submodule("first"), 12 if slope == 0.1 else 8
    first.register_forward_hook(lambda *a: seen.append(a[2].clone()))
    trunk = network.get_submodule("trunk")
    trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    network(torch.randn(2, 1, size, size))
    before, after = seen
    torch.testing.assert_close(after, torch.where(before > 0, before, slope * before))
