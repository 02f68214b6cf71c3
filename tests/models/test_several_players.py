"""Games with more than two players, and generators with an encoder or moments beside them."""

from __future__ import annotations

import pytest
import torch
from composing import little, session_of
from linear_networks import Linear, batch_of, points
from playing import advance
from torch.distributions import Normal
from torch.nn.functional import softplus

from gan_cli.errors import ConfigError
from gan_cli.losses import NonSaturating
from gan_cli.model import Scores
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.bigan import BiGAN
from gan_cli.models.latent_variables import Posterior
from gan_cli.models.mdgan import ModeRegularisedGAN
from gan_cli.models.mmd_gan import MMDGAN, mmd
from gan_cli.models.several import D2GAN, CoupledGAN, ParallelGAN, log_softplus
from gan_cli.penalties import NoPenalty
from gan_cli.priors import Gaussian

X = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])


def test_d2gan_s_players_play_one_zero_sum_game() -> None:
    """Nguyen et al. 2017, Eq. 1: the discriminators' loss is -J, the generator's its part of J."""
    torch.manual_seed(0)
    model = D2GAN(points(3), Gaussian(2), Linear(), alpha=0.5, beta=0.25)
    torch.manual_seed(1)
    fake = model.sample(2)
    one, two = softplus(model.discriminator(X)), softplus(model.second_discriminator(X))
    one_fake = softplus(model.discriminator(fake))
    two_fake = softplus(model.second_discriminator(fake))
    value = 0.5 * one.log().mean() - one_fake.mean() - two.mean() + 0.25 * two_fake.log().mean()
    torch.manual_seed(1)
    torch.testing.assert_close(model.discriminator_loss(batch_of(X)).total, -value)
    torch.manual_seed(1)
    total = model.generator_loss(batch_of(X)).total
    torch.testing.assert_close(total, 0.25 * two_fake.log().mean() - one_fake.mean())


def test_the_log_of_a_small_output_has_a_gradient() -> None:
    x = torch.tensor([-100.0, -28.0, -20.5, -19.5, 0.0, 5.0], requires_grad=True)
    found = log_softplus(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    exact = x.detach().double().requires_grad_()
    expected = exact.exp().log1p().log()
    (slope_expected,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(found, expected.float())
    torch.testing.assert_close(slope, slope_expected.float())


@pytest.mark.parametrize("model", ["d2gan", "gap", "gan"])
def test_minibatch_discrimination_needs_the_whole_batch(model: str) -> None:
    line = (
        f"model={model}",
        "data=ring",
        "data.points=64",
        "network.minibatch_discrimination=[3,2]",
    )
    assert session_of(*line).model.whole_batch == ("minibatch discrimination",)


@pytest.mark.parametrize(
    ("overrides", "group"),
    [
        (("model=gan", "data=ring", "data.points=64"), False),
        (("model=cgan", "network.width=4", "data.split=test"), False),
        (("model=d2gan", "data=ring", "data.points=64"), False),
        (("model=gap", "data=ring", "data.points=64"), False),
        (("model=stylegan2", "data.split=test", "data.size=8", "network.most=8"), True),
    ],
)
def test_no_sample_has_a_score_where_samples_are_compared(
    overrides: tuple[str, ...], group: bool
) -> None:
    with_it = "network.group=4" if group else "network.minibatch_discrimination=[4,2]"
    without = "network.group=null" if group else "network.minibatch_discrimination=null"
    for one in (with_it, without):
        model = session_of(*overrides, "batch_size=4", one).model
        assert isinstance(model, Scores)
        x = torch.randn(3, *model.data.shape)
        y = torch.arange(3) if model.conditional else None
        assert (model.score(x, y) is None) == (one == with_it)


def test_gap_names_the_losses_that_need_the_whole_batch() -> None:
    line = ("model=gap", "data=ring", "data.points=64", "loss=relativistic_average")
    assert session_of(*line).model.whole_batch == ("loss=RelativisticAverage",)


def test_d2gan_s_best_discriminators_are_the_ratios() -> None:
    """Theorem 1: D1 = alpha p / q and D2 = beta q / p, where the loss has no slope."""
    p, q, alpha, beta = torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8]), 0.2, 0.1
    one = (alpha * p / q).requires_grad_()
    two = (beta * q / p).requires_grad_()
    loss = (q * one - alpha * p * one.log() + p * two - beta * q * two.log()).sum()
    for slope in torch.autograd.grad(loss, (one, two)):
        torch.testing.assert_close(slope, torch.zeros(2), atol=1e-6, rtol=0)


class TestCoupledGAN:
    def model(self) -> CoupledGAN:
        session = session_of("model=cogan", "data=derived", "data.split=test")
        assert isinstance(session.model, CoupledGAN)
        return session.model

    def test_all_but_the_last_layer_makes_both_kinds(self) -> None:
        model = self.model()
        both = model.generator(model.prior.sample(3))
        assert both.shape == (3, 2, 28, 28)
        torch.manual_seed(0)
        z = model.prior.sample(3)
        model.eval()
        assert torch.equal(model.generate(z), model.generator(z)[:, :1])

    def test_the_discriminator_sees_one_kind_at_a_time(self) -> None:
        x = torch.rand(2, 1, 4, 4)
        assert torch.equal(CoupledGAN._alone(x, 0), torch.cat([x, 0 * x], dim=1))
        assert torch.equal(CoupledGAN._alone(x, 1), torch.cat([0 * x, x], dim=1))

    def test_it_trains_on_both(self) -> None:
        session = session_of("model=cogan", "data.split=test")
        advance(session, 2)
        means = session.trainer.window.means()
        assert {"output/real", "output/real_of_inputs"} <= means.keys()

    def test_data_without_a_second_kind_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"model = cogan: needs inputs and targets of one"):
            session_of("model=cogan", "data=mnist")


class TestParallelGAN:
    def test_discriminators_move_on(self) -> None:
        session = session_of("model=gap", "data.split=test", "model.pairs=3", "model.swap_every=2")
        model = session.model
        assert isinstance(model, ParallelGAN)
        met = []
        for step in range(7):
            batch = session.stream.batch(0)
            batch.step = step
            known = list(model.discriminator)
            met.append([known.index(critic) for _, critic in model._matches(batch)])
        assert met == [[0, 1, 2], [0, 1, 2], [1, 2, 0], [1, 2, 0], [2, 0, 1], [2, 0, 1], [0, 1, 2]]

    def test_every_pair_learns(self) -> None:
        session = session_of("model=gap", "data.split=test")
        model = session.model
        before = [p.clone() for p in model.parameters()]
        advance(session, 1)
        moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert all(moved)


@pytest.mark.parametrize(
    ("overrides", "part", "batches"),
    [
        ("model=mdgan", "generator", 1),
        ("model=ebgan", "discriminator", 1),
        ("model=began", "discriminator", 1),
        ("model=magan model.pretrain=0", "discriminator", 1),
        ("model=mmd_gan", "encoder", 5),
        ("model=mmd_gan", "decoder", 5),
        ("model=bigan model.chain=2", "generator", 1),
        ("model=bigan model.chain=2", "anchor", 1),
        ("model=bigan model.chain=2 model.latent=1 network=dcgan", "encoder", 1),
    ],
)
def test_running_statistics_are_of_one_kind_of_input(
    overrides: str, part: str, batches: int
) -> None:
    """They are those on which the network is evaluated: drawn latents, or real samples."""
    tiny = ("data.split=test", "network.width=4", "batch_size=4")
    session = session_of(*overrides.split(), *tiny)
    advance(session, 1)
    modules = getattr(session.model, part).modules()
    norms = [m for m in modules if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {int(m.get_buffer("num_batches_tracked")) for m in norms} == {batches}


def test_the_mode_regulariser() -> None:
    """Che et al. 2017, Eq. 2, with the loss's generator term in place of log D."""
    torch.manual_seed(0)
    model = ModeRegularisedGAN(
        points(3), Gaussian(2), Linear(), NonSaturating(), NoPenalty(), distance=0.2, modes=0.4
    )
    rebuilt = model.generator(model.encode(X))
    torch.manual_seed(1)
    fake = model.discriminator(model.sample(2))
    expected = softplus(-fake).mean() + 0.2 * (rebuilt - X).square().mean()
    expected = expected + 0.4 * softplus(-model.discriminator(rebuilt)).mean()
    torch.manual_seed(1)
    torch.testing.assert_close(model.generator_loss(batch_of(X)).total, expected)


class TestMMD:
    def test_the_unbiased_estimate_by_hand(self) -> None:
        """Gretton et al. 2012, Eq. 3."""
        torch.manual_seed(0)
        a, b = torch.randn(3, 2).double(), torch.randn(4, 2).double()

        def k(x: torch.Tensor, y: torch.Tensor) -> float:
            squared = (x - y).square().sum()
            return sum((-squared / (2 * s * s)).exp().item() for s in (1.0, 2.0))

        within_a = sum(k(a[i], a[j]) for i in range(3) for j in range(3) if i != j) / 6
        within_b = sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
        between = sum(k(x, y) for x in a for y in b) / 12
        expected = within_a + within_b - 2 * between
        assert mmd(a, b, (1.0, 2.0)).item() == pytest.approx(expected)

    def test_its_mean_is_0_for_one_law_and_not_for_two(self) -> None:
        torch.manual_seed(0)
        same = torch.stack(
            [mmd(torch.randn(50, 2), torch.randn(50, 2), (1.0,)) for _ in range(200)]
        )
        # Its deviation is about .01, that of the mean of 200 thus .0007.
        assert abs(same.mean().item()) < 0.003
        apart = mmd(torch.randn(50, 2), torch.randn(50, 2) + 1, (1.0,))
        assert apart > 0.1

    def test_encoder_and_decoder_play_against_the_generator(self) -> None:
        session = session_of("model=mmd_gan", "data.split=test", "model.code=8")
        advance(session, 2)
        model = session.model
        assert isinstance(model, MMDGAN)
        assert max(p.abs().max().item() for p in model.encoder.parameters()) <= 0.01 + 1e-6
        assert max(p.abs().max().item() for p in model.decoder.parameters()) > 0.01


class TestKinOfBiGAN:
    def model(self, **settings) -> BiGAN:
        torch.manual_seed(0)
        return BiGAN(points(3), Gaussian(2), Linear(), NonSaturating(), NoPenalty(), **settings)

    def test_veegan_s_encoder_learns_from_latents_alone(self) -> None:
        """Srivastava et al. 2017, Algorithm 1: the gradient for F is that of |z - F(G(z))|^2."""
        model = self.model(encoder_plays=False, latent=1.0)
        torch.manual_seed(1)
        loss = model.generator_loss(batch_of(X))
        found = torch.autograd.grad(loss.total, list(model.encoder.parameters()))
        torch.manual_seed(1)
        model.prior.sample(2)  # of the pairs
        z = model.prior.sample(2)
        error = (model.encode(model.generator(z)) - z).square().mean()
        wanted = torch.autograd.grad(error, list(model.encoder.parameters()))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b)

    def test_veegan_s_encoder_that_draws_maximises_the_latents_likelihood(self) -> None:
        """Srivastava et al. 2017, section 3: d(z, F(x)) is -log p(z given x) up to a constant."""
        model = self.model(encoder_plays=False, latent=1.0, stochastic=True)
        mean, log_deviation = model.encoder(X).chunk(2, dim=1)
        z = torch.randn(2, 2)
        expected = -Normal(mean, log_deviation.exp()).log_prob(z).mean()
        torch.testing.assert_close(model._latent_error(X, z), expected)

    @pytest.mark.parametrize("n", [2, 256])
    def test_gibbsnet_s_pairs_are_where_the_chain_is(self, n: int) -> None:
        model = self.model(chain=2)
        torch.manual_seed(1)
        z = model.prior.sample(n)
        for _ in range(2):
            z = model.encoder(model.generator(z))
            z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
        x = torch.randn(n, 3)
        torch.manual_seed(1)
        fake = model.pair(batch_of(x))[1]
        torch.testing.assert_close(fake[:, 3:], z, atol=1e-4, rtol=1e-4)
        if n == 256:
            torch.manual_seed(1)
            torch.testing.assert_close(model.sample(n), model.generator(z), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("scale", [0.1, 1.0, 1e3])
    @pytest.mark.parametrize("training", [True, False])
    def test_a_chain_neither_contracts_nor_grows(self, scale: float, training: bool) -> None:
        """Whatever the weights: means are normalised, and deviations below 1."""
        model = self.model(chain=3, stochastic=True).train(training)
        with torch.no_grad():
            for p in model.encoder.parameters():
                p.mul_(scale)
        posterior = Posterior.of(model._encoded(torch.randn(512, 3), chained=True))
        torch.testing.assert_close(posterior.mean.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(posterior.mean.std(0), torch.ones(2), atol=0.02, rtol=0)
        assert (posterior.log_deviation <= 0).all()
        assert 0.9 < model._chained(model.prior.sample(512)).std() < 1.5

    def test_chains_run_together_when_one_sample_is_wanted(self) -> None:
        """They are normalised over their batch, and a batch of one has no deviation."""
        model = self.model(chain=3, stochastic=True).eval()
        torch.manual_seed(1)
        one = model.sample(1)
        torch.manual_seed(1)
        torch.testing.assert_close(one, model.sample(256)[:1])
        assert one.abs().max() > 0

    def test_an_encoder_that_learns_nothing_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"model.encoder_plays = false: the encoder learns"):
            self.model(encoder_plays=False)


PENALISED = ["bigan", "aae", "vaegan", "gap", "cogan", "mdgan", "pix2pix", "cyclegan", "text_wgan"]


@pytest.mark.parametrize("model", PENALISED)
@pytest.mark.filterwarnings("ignore:penalty = r1 looks at")
def test_a_lazy_penalty_has_its_updates_in_every_game(model: str) -> None:
    session = session_of(*little(model), "penalty=r1", "penalty.every=2", "optimizer=sgd")
    advance(session, 3)
    assert "penalty/r1" in session.trainer.window.means()


@pytest.mark.parametrize("model", ["bigan", "gap", "cogan", "mdgan", "pix2pix", "text_wgan"])
def test_a_penalty_on_the_generator_s_weights_is_in_its_loss(model: str) -> None:
    session = session_of(*little(model), "penalty=orthogonal", "penalty.of=generator")
    game = session.model
    assert isinstance(game, DiscriminatorModel)
    phases = {phase.name: phase for phase in game.phases()}
    batch = session.stream.batch(0)
    assert "penalty/orthogonal" in phases["generator"].loss(batch).logs
    assert "penalty/orthogonal" not in phases[game.loss.player].loss(batch).logs


def test_a_penalty_on_weights_is_refused_where_there_are_two_of_each() -> None:
    with pytest.raises(ConfigError, match=r"penalty = orthogonal: is on the weights of one"):
        session_of(*little("cyclegan"), "penalty=orthogonal")
