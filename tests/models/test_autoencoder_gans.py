"""EBGAN, BEGAN and MAGAN: losses by hand, and what moves their balance and margin."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from linear_networks import Linear, batch_of, points
from playing import advance

from gan_cli.errors import ConfigError
from gan_cli.models.ebgan import BEGAN, EBGAN, MAGAN, Margin, pulling_away
from gan_cli.priors import Gaussian

X = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])


def test_ebgan_s_losses() -> None:
    """Zhao et al. 2017, Eqs. 1 and 2, with a margin between the energies of the two fakes."""
    torch.manual_seed(0)
    model = EBGAN(points(3), Gaussian(2), Linear(), code=2, margin=2.0, pulling_away=0.1)
    torch.manual_seed(1)
    fake = model.sample(2)
    energies, codes = model.discriminator(fake)
    rebuilt = model.discriminator.decoder(model.discriminator.encoder(X))
    real = (rebuilt - X).square().mean(1).mean()
    torch.manual_seed(1)
    total = model.discriminator_loss(batch_of(X)).total
    torch.testing.assert_close(total, real + (2.0 - energies).clamp_min(0).mean())
    torch.manual_seed(1)
    total = model.generator_loss(batch_of(X)).total
    torch.testing.assert_close(total, energies.mean() + 0.1 * pulling_away(codes))


def test_pulling_away_is_1_for_parallel_codes_and_0_for_orthogonal_ones() -> None:
    assert pulling_away(torch.tensor([[1.0, 2.0], [2.0, 4.0]])).item() == pytest.approx(1.0)
    assert pulling_away(torch.eye(3)).item() == pytest.approx(0.0, abs=1e-6)
    by_hand = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    # Squared cosines 1/2, 0, 1/2 of the three pairs, each counted twice, over 6.
    assert pulling_away(by_hand).item() == pytest.approx(1 / 3)


class TestBEGAN:
    def model(self) -> BEGAN:
        torch.manual_seed(0)
        return BEGAN(points(3), Gaussian(2), Linear(), code=2, gamma=0.5, rate=0.1)

    def test_the_balance_follows_the_gap(self) -> None:
        """k <- k + rate (gamma D(x) - D(G(z))), in [0, 1]."""
        balance = self.model().balance
        balance.gap.fill_(2.0)
        balance.move()
        assert balance.k.item() == pytest.approx(0.2)
        balance.gap.fill_(-5.0)
        balance.move()
        assert balance.k.item() == 0
        balance.gap.fill_(50.0)
        balance.move()
        assert balance.k.item() == 1

    def test_losses_and_the_convergence_measure(self) -> None:
        model = self.model()
        model.balance.k.fill_(0.3)
        torch.manual_seed(1)
        fake = model.energies(model.sample(2)).mean()
        real = model.energies(X).mean()
        torch.manual_seed(1)
        total = model.discriminator_loss(batch_of(X)).total
        torch.testing.assert_close(total, real - 0.3 * fake)
        torch.manual_seed(1)
        loss = model.generator_loss(batch_of(X))
        torch.testing.assert_close(loss.total, fake)
        torch.testing.assert_close(loss.logs["convergence"], real + (0.5 * real - fake).abs())
        torch.testing.assert_close(model.balance.gap, (0.5 * real - fake).detach())

    def test_energies_are_mean_absolute_errors(self) -> None:
        model = self.model()
        rebuilt = model.discriminator.decoder(model.discriminator.encoder(X))
        torch.testing.assert_close(model.energies(X), (rebuilt - X).abs().mean(1))


class TestMAGAN:
    def moved(self, value: float, before: float, real: float, fake: float) -> Margin:
        margin = Margin(interval=2)
        margin.value.fill_(value)
        margin.before.fill_(before)
        margin.record(torch.tensor(real), torch.tensor(fake))
        margin.adapt()
        assert margin.value.item() == pytest.approx(value)  # not in the middle of an interval
        margin.record(torch.tensor(real), torch.tensor(fake))
        margin.adapt()
        return margin

    @pytest.mark.parametrize(
        ("value", "before", "real", "fake", "after"),
        [
            (1.0, 0.6, 0.5, 0.7, 0.5),  # all three conditions of Algorithm 1
            (0.4, 0.6, 0.5, 0.7, 0.4),  # real above the margin
            (1.0, 0.6, 0.5, 0.45, 1.0),  # fakes below real
            (1.0, 0.8, 0.5, 0.7, 1.0),  # fakes lower than an interval ago
        ],
    )
    def test_the_margin(
        self, value: float, before: float, real: float, fake: float, after: float
    ) -> None:
        margin = self.moved(value, before, real, fake)
        assert margin.value.item() == pytest.approx(after)
        assert margin.before.item() == pytest.approx(fake)
        assert margin.count == 0

    def test_the_margin_stays_in_the_first_interval(self) -> None:
        margin = Margin(interval=1)
        for after in (1.0, 0.5):  # then there is an interval before
            margin.record(torch.tensor(0.5), torch.tensor(0.7))
            margin.adapt()
            assert margin.value.item() == pytest.approx(after)

    def test_the_discriminator_begins_alone(self) -> None:
        model = MAGAN(points(3), Gaussian(2), Linear(), code=2, pretrain=3)
        active = [[p.name for p in model.phases() if p.repeats(step)] for step in (0, 2, 3)]
        assert active == [["reconstruction"], ["reconstruction"], ["discriminator", "generator"]]


@pytest.mark.parametrize("model", ["ebgan", "began", "magan"])
def test_images_and_points(model: str) -> None:
    for data in (("data.split=test",), ("data=ring", "network=mlp")):
        session = session_of(f"model={model}", *data)
        advance(session, 2)
        with session.trainer.sampling() as sampler:
            assert sampler.sample(4).shape == (4, *session.dataset.spec.shape)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=ebgan", "model.margin=-1"), "model.margin = -1: must not be negative"),
        (("model=began", "model.gamma=2"), r"model.gamma = 2: must lie in \[0, 1\]"),
        (("model=magan", "model.interval=0"), "model.interval = 0: must be at least 1"),
        (("model=ebgan", "model.code=0"), "model.code = 0: must be at least 1"),
    ],
)
def test_what_cannot_be(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of(*overrides, "data.split=test")
