"""What games between a generator and a discriminator share, on numbers computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss, LeastSquares, NonSaturating, Wasserstein
from gan_cli.model import Batch, DataSpec, Draws, HasSampleGradient, Loss, Scores
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.gan import GAN
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import R1, GradientPenalty, NoPenalty, Penalty
from gan_cli.priors import Gaussian, Prior


def game(loss: AdversarialLoss, penalty: Penalty | None = None) -> GAN:
    """A game of small networks for points of six coordinates."""
    network = MLP(4, 1, spectral_norm=True)
    return GAN(DataSpec("t", (6,), 1), Gaussian(2), network, loss, penalty or NoPenalty())


REAL, FAKE = torch.tensor([2.0, -1.0, 1.0, 0.5]), torch.tensor([0.5, -3.0, -1.0, -2.0])


def test_statistics_of_probabilities() -> None:
    seen = {
        name: value.item() for name, value in game(NonSaturating()).statistics(REAL, FAKE).items()
    }
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
    """Half way between the labels 0 and 1; real and fake have different shares."""
    seen = game(LeastSquares()).statistics(torch.tensor([0.6, 0.4]), torch.tensor([0.4, 0.1]))
    assert seen["accuracy/real"].item() == 0.5
    assert seen["accuracy/fake"].item() == 1.0
    assert "probability/real" not in seen


def test_a_critic_gives_the_estimate_and_no_accuracy() -> None:
    seen = game(Wasserstein()).statistics(REAL, FAKE)
    assert seen["wasserstein_estimate"].item() == pytest.approx(2.0)
    assert set(seen) == {"output/real", "output/fake", "wasserstein_estimate"}


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def score(x: Tensor) -> Tensor:
    """Slope 3 everywhere: R1 is weight / 2 * 9."""
    return 3 * x[:, 0]


def test_the_penalty_is_added_to_the_loss() -> None:
    loss = Wasserstein()
    found = game(loss, R1(weight=4.0)).compare((X, -X), (REAL, FAKE), score)
    assert found.logs["penalty/r1"].item() == pytest.approx(18.0)
    assert found.total.item() == pytest.approx(loss.discriminator(REAL, FAKE).item() + 18.0)
    bare = game(loss).compare((X, -X), (REAL, FAKE), score)
    assert bare.total.item() == pytest.approx(-2.0)
    assert not any(name.startswith("penalty") for name in bare.logs)


def test_a_lazy_penalty_is_left_to_its_own_phase_and_is_stronger_there() -> None:
    model = game(Wasserstein(), R1(weight=4.0, every=16))
    found = model.compare((X, -X), (REAL, FAKE), score)
    assert found.total.item() == pytest.approx(-2.0)
    alone = model.lazy_penalty(score, X, -X)
    assert alone.total.item() == pytest.approx(16 * 18.0)
    assert alone.logs["penalty/r1"].item() == pytest.approx(18.0)


def test_the_gradient_penalty_reaches_the_loss() -> None:
    found = game(Wasserstein(), GradientPenalty(10.0)).compare((X, -X), (REAL, FAKE), score)
    assert found.total.item() == pytest.approx(-2.0 + 10 * (3 - 1) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("network", "slope"),
    [
        (DCGAN(4, discriminator_norm="none").discriminator(DataSpec("t", (1, 8, 8), 1)), 0.2),
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


class Centred(AdversarialModel):
    """A new game: the generator also minimises weight * |mean of its samples|^2."""

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        weight: float = 1.0,
    ) -> None:
        super().__init__(data, prior, loss, penalty)
        self.weight = weight
        self.build(network)

    def generator_loss(self, batch: Batch) -> Loss:
        fake = self.sample(len(batch))
        mean = fake.mean(0).square().sum()
        total = self.reply(self.discriminator(fake), batch) + self.weight * mean
        return Loss(total, {"mean": mean.detach()})


def test_a_new_game_is_a_constructor_and_its_loss() -> None:
    penalty = R1(weight=4.0, every=2)
    model = Centred(DataSpec("t", (2,), 8), Gaussian(3), MLP(4, 1), NonSaturating(), penalty)
    batch = Batch(torch.arange(8), lambda index: torch.randn(len(index), 2), lambda _: None)
    losses = {phase.name: phase.loss(batch) for phase in model.phases()}
    assert list(losses) == ["discriminator", "discriminator_penalty", "generator"]
    assert all(loss.total.isfinite() and loss.total.requires_grad for loss in losses.values())
    assert losses["generator"].logs["mean"] >= 0
    assert losses["discriminator_penalty"].logs.keys() == {"penalty/r1"}
    assert model.sample(5).shape == (5, 2)
    assert all(isinstance(model, kind) for kind in (Scores, HasSampleGradient, Draws))


@pytest.mark.parametrize("labelled", [False, True])
def test_real_and_fake_samples_in_one_pass_give_the_same_loss_and_gradients(labelled: bool) -> None:
    torch.manual_seed(0)
    spec = DataSpec("t", (6,), 100, classes=3 if labelled else 0)
    family = MLP(16, 2)
    model = GAN(spec, Gaussian(2), family, NonSaturating(), NoPenalty(), labelled)
    assert model.discriminator.joint
    samples = torch.randn(5, 6), torch.randn(3, 6)
    labels = (torch.arange(5) % 3, torch.arange(3)) if labelled else (None, None)
    found = []
    for model.discriminator.joint in (True, False):
        model.zero_grad()
        outputs = model.outputs(samples, labels)
        assert [len(output) for output in outputs] == [5, 3]
        model.compare(samples, outputs).total.backward()
        found.append([*outputs, *(p.grad for p in model.discriminator.parameters())])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "options", [{"spectral_norm": True}, {"minibatch_discrimination": (2, 2)}], ids=str
)
def test_samples_that_share_a_state_never_share_a_pass(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = MLP(16, 2, **options)
    model = GAN(DataSpec("t", (6,), 100), Gaussian(2), network, NonSaturating(), NoPenalty())
    assert not model.discriminator.joint
    passes: list[int] = []
    model.discriminator.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    model.outputs((torch.randn(4, 6), torch.randn(4, 6)))
    assert passes == [4, 4]
