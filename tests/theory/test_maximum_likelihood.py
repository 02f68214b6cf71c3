"""Maximum likelihood is the least Kullback-Leibler divergence from the data to the model.

Everything in float64, in nats: on a discrete example exactly, on the line by quadrature.
"""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from torch import Tensor
from torch.distributions import Binomial, Normal

from gan_cli.models.mixture import Mixture

COUNTS = torch.tensor([9, 1, 0, 0, 1, 9], dtype=torch.float64)  # of twenty samples of 0 ... 5
DATA = COUNTS / COUNTS.sum()
RATES = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) over the last dimension."""
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)


def binomials() -> Tensor:
    """The family that is fitted: how often heads come in five throws, [rates, 6]."""
    return Binomial(5, RATES.unsqueeze(1)).log_prob(torch.arange(6).double()).exp()


class TestDiscrete:
    def test_the_mean_negative_log_likelihood_is_entropy_plus_divergence(self) -> None:
        samples = torch.repeat_interleave(torch.arange(6), COUNTS.long())
        entropy = torch.special.entr(DATA).sum()
        torch.manual_seed(0)
        others = torch.distributions.Dirichlet(torch.ones(6).double()).sample((50,))
        for q in torch.cat([others, binomials()]):
            mean = -q[samples].log().mean()
            torch.testing.assert_close(mean, entropy + kl(DATA, q), rtol=1e-12, atol=1e-12)

    def test_the_likeliest_of_a_family_is_the_one_of_least_divergence(self) -> None:
        likelihood = torch.special.xlogy(COUNTS, binomials()).sum(1)
        forward = kl(DATA, binomials())
        assert likelihood.argmax() == forward.argmin()
        # In closed form: a binomial's likeliest rate is the mean over the number of throws.
        mean = (DATA * torch.arange(6)).sum() / 5
        assert RATES[forward.argmin()].item() == pytest.approx(mean.item(), abs=5e-4)

    def test_without_a_family_the_likeliest_is_the_data_itself(self) -> None:
        torch.manual_seed(0)
        others = torch.distributions.Dirichlet(torch.ones(6).double()).sample((1000,))
        assert kl(DATA, DATA) == 0
        assert (kl(DATA, others) > 0).all()
        likelihood = torch.special.xlogy(COUNTS, DATA).sum()
        assert (torch.special.xlogy(COUNTS, others).sum(1) < likelihood).all()

    def test_the_reverse_divergence_chooses_another(self) -> None:
        """It is infinite where the model puts what the data never do, so it wants one end alone."""
        smooth = (DATA + 0.001) / (DATA + 0.001).sum()
        forward, reverse = kl(smooth, binomials()), kl(binomials(), smooth)
        assert RATES[forward.argmin()].item() == pytest.approx(0.5, abs=1e-3)
        chosen = RATES[reverse.argmin()].item()
        assert min(chosen, 1 - chosen) < 0.1
        assert reverse[499] > reverse.min() + 1  # at the likeliest rate


class TestTwoModes:
    """One Gaussian for the two modes of data=mixture_1d, as in experiment=maximum_likelihood."""

    X = torch.linspace(-12, 12, 6001, dtype=torch.float64)
    STEP = 24 / 6000

    def test_em_finds_the_least_forward_divergence_which_covers_both(self) -> None:
        data = ("data=mixture_1d", "data.points=20000", "batch_size=20000")
        session = session_of("model=mixture", *data, "model.components=1")
        session.trainer.advance()
        assert isinstance(session.model, Mixture)
        gaussian = session.model.mixture.gaussians
        mean, deviation = gaussian.means.item(), gaussian.log_deviation.exp().item()
        values = session.dataset.values.double()
        assert mean == pytest.approx(values.mean().item(), abs=1e-5)
        assert deviation == pytest.approx(values.std(correction=0).item(), rel=1e-5)

        p = self.truth()
        # The moments are the truth's: 0 and sqrt(4 + .25), up to four standard errors.
        best = math.sqrt(4.25)
        assert mean == pytest.approx(0, abs=4 * best / math.sqrt(20000))
        assert deviation == pytest.approx(best, abs=4 * best / math.sqrt(20000))
        least = self.divergence(p, self.gaussian(0, best))
        for other in ((0.1, best), (-0.1, best), (0, best + 0.1), (0, best - 0.1), (2, 0.5)):
            assert self.divergence(p, self.gaussian(*other)) > least + 1e-3

    def test_the_least_reverse_divergence_takes_one(self) -> None:
        p = self.truth()
        both = self.divergence(self.gaussian(0, math.sqrt(4.25)), p)
        one = self.divergence(self.gaussian(2, 0.5), p)
        # All of the other mode's half is missing, and nothing else is wrong.
        assert one == pytest.approx(math.log(2), abs=1e-3)
        assert both > one + 1
        for other in ((1.8, 0.5), (2.2, 0.5), (2, 0.6), (2, 0.4)):
            assert self.divergence(self.gaussian(*other), p) > one

    def test_the_reverse_divergence_has_a_worse_minimum_between_the_modes(self) -> None:
        """Where experiment=reverse_kl with seed=0 ends."""
        p, middle = self.truth(), (0, 1.737)
        lowest = self.divergence(self.gaussian(*middle), p)
        assert lowest == pytest.approx(1.871, abs=1e-3)
        for other in ((0.1, 1.737), (-0.1, 1.737), (0, 1.8), (0, 1.68), (0.1, 1.68), (-0.1, 1.8)):
            assert self.divergence(self.gaussian(*other), p) > lowest

    def truth(self) -> Tensor:
        return (self.gaussian(-2, 0.5) + self.gaussian(2, 0.5)) / 2

    def gaussian(self, mean: float, deviation: float) -> Tensor:
        return Normal(mean, deviation).log_prob(self.X).exp()

    def divergence(self, p: Tensor, q: Tensor) -> float:
        return (kl(p, q) * self.STEP).item()
