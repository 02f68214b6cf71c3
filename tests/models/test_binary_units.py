"""The restricted Boltzmann machine and the Helmholtz machine, where all states can be summed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from composing import session_of
from playing import advance
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec
from gan_cli.models.helmholtz import Helmholtz
from gan_cli.models.rbm import RBM, Machine

SMALL = DataSpec("small", (1, 2, 2), 100)


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def black_and_white() -> Tensor:
    """All images of 2x2 pixels; drawing pixels by their brightness changes nothing."""
    return (2 * states(4) - 1).float().view(16, 1, 2, 2)


def machine(hidden: int = 3, scale: float = 1.0) -> Machine:
    torch.manual_seed(0)
    found = Machine(4, hidden, scale).double()
    with torch.no_grad():
        found.visible_bias.normal_()
        found.hidden_bias.normal_()
    return found


def energies(m: Machine) -> Tensor:
    """-E of every pair of states, [2^visible, 2^hidden]."""
    v, h = states(4), states(len(m.hidden_bias))
    return (v @ m.visible_bias)[:, None] + h @ m.hidden_bias + v @ m.weight.T @ h.T


class TestRBM:
    def test_free_energy_and_normaliser_are_sums_over_states(self) -> None:
        m = machine()
        joint = energies(m)
        torch.testing.assert_close(m.free_energy(states(4)), -joint.logsumexp(1))
        torch.testing.assert_close(m.log_normaliser(), joint.flatten().logsumexp(0).detach())

    def test_conditionals_are_those_of_the_joint(self) -> None:
        m = machine()
        p = energies(m).flatten().softmax(0).view(16, 8)
        given_v = (p @ states(3)) / p.sum(1, keepdim=True)
        given_h = (p.T @ states(4)) / p.sum(0)[:, None]
        torch.testing.assert_close(m.hidden_given(states(4)), given_v)
        torch.testing.assert_close(m.visible_given(states(3)), given_h)

    def test_the_gradient_is_the_likelihood_s_where_the_chain_has_arrived(self) -> None:
        """Hinton 2002, Eq. 5: E_data[dF] - E_model[dF], with the model's own law as the chains'."""
        m = machine()
        data = states(4)[[1, 5, 5, 12]]
        exact = energies(m).flatten().logsumexp(0) + m.free_energy(data).mean()
        wanted = torch.autograd.grad(exact, list(m.parameters()))
        law = energies(m).logsumexp(1).softmax(0).detach()
        surrogate = m.free_energy(data).mean() - (law * m.free_energy(states(4))).sum()
        found = torch.autograd.grad(surrogate, list(m.parameters()))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b)

    def test_the_chain_keeps_the_machine_s_law(self) -> None:
        m = machine()
        law = energies(m).logsumexp(1).softmax(0).detach()
        torch.manual_seed(1)
        start = states(4)[torch.multinomial(law, 40000, replacement=True)]
        with torch.no_grad():
            end = m.gibbs(start, 3)
        number = (end @ torch.tensor([8.0, 4.0, 2.0, 1.0]).double()).long()
        found = number.bincount(minlength=16).double() / 40000
        # Each share's deviation is at most (.25 / 40000)^.5 = .0025.
        torch.testing.assert_close(found, law, atol=0.01, rtol=0)

    @torch.no_grad()
    def test_annealing_finds_the_normaliser(self) -> None:
        m = machine(hidden=8).double()
        torch.manual_seed(2)
        found = m.annealed_log_normaliser()
        assert found.item() == pytest.approx(m.log_normaliser().item(), abs=0.1)

    def test_learning_raises_the_exact_likelihood(self) -> None:
        """Of digits, from that of independent pixels on."""
        session = session_of(
            *("model=rbm", "data.split=test", "model.hidden=10", "optimizer.lr=0.05"),
            *("batch_size=64", "data.size=14"),
        )
        model = session.model
        assert isinstance(model, RBM)
        batch = session.stream.batch(0)
        before = model.likelihood(batch, 1)["log_likelihood"].mean()
        advance(session, 400)
        after = model.likelihood(batch, 1)["log_likelihood"].mean()
        assert before.item() == pytest.approx(-196 * math.log(2), abs=2)
        assert after > before + 60

    def test_batches_of_the_same_weights_share_the_normaliser(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = session_of("model=rbm", "data.split=test", "model.hidden=4", "data.size=8")
        model = session.model
        assert isinstance(model, RBM)
        calls: list[int] = []
        normaliser = model.machine.log_normaliser
        monkeypatch.setattr(
            model.machine, "log_normaliser", lambda: (calls.append(1), normaliser())[1]
        )
        for step in range(3):
            model.likelihood(session.stream.batch(step), 1)
        assert len(calls) == 1
        advance(session, 1)
        model.likelihood(session.stream.batch(0), 1)
        assert len(calls) == 2

    def test_points_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="model = rbm: its units are on or off"):
            session_of("model=rbm", "data=ring")


class TestHelmholtz:
    def model(self) -> Helmholtz:
        torch.manual_seed(0)
        found = Helmholtz(SMALL, hidden=(3, 2)).double().eval()
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.normal_()
        return found

    def log_joint(self, model: Helmholtz) -> Tensor:
        """log p(v, h1, h2), [16, 8, 4]."""
        v, one, two = states(4), states(3), states(2)
        where = torch.cartesian_prod(torch.arange(16), torch.arange(8), torch.arange(4))
        every = [two[where[:, 2]], one[where[:, 1]], v[where[:, 0]]]
        return model.generative.log_prob(every).view(16, 8, 4)

    def test_probabilities_sum_to_1(self) -> None:
        model = self.model()
        assert self.log_joint(model).exp().sum().item() == pytest.approx(1.0)
        v = states(4)[3].expand(32, -1)
        where = torch.cartesian_prod(torch.arange(8), torch.arange(4))
        q = model.recognition.log_prob([v, states(3)[where[:, 0]], states(2)[where[:, 1]]])
        assert q.exp().sum().item() == pytest.approx(1.0)

    def test_the_bound_comes_to_the_exact_likelihood(self) -> None:
        model = self.model()
        exact = self.log_joint(model).flatten(1).logsumexp(1)
        model, images = model.float(), black_and_white()
        batch = Batch(torch.arange(16), lambda i: images[i], lambda i: None)
        torch.manual_seed(1)
        found = model.likelihood(batch, 20000)
        torch.testing.assert_close(found["iwae"], exact.detach(), atol=0.1, rtol=0)
        assert (found["elbo"] < exact).all()

    def test_wake_moves_the_generative_net_and_sleep_the_other(self) -> None:
        model = self.model().float()
        wake, sleep = model.phases()
        assert wake.trains == (model.generative,)
        assert sleep.trains == (model.recognition,)
        images = black_and_white()
        batch = Batch(torch.arange(16), lambda i: images[i], lambda i: None)
        loss = model.wake_loss(batch)
        loss.total.backward()
        assert all(p.grad is None for p in model.recognition.parameters())
        assert all(p.grad is not None for p in model.generative.parameters())

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("model.hidden=[]", r"model.hidden = \[\]: must be one or more sizes"),
            ("model.binarise=none", "model.binarise = none: must be dynamic or fixed"),
        ],
    )
    def test_what_cannot_be(self, override: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            session_of("model=helmholtz", "data.split=test", override)
