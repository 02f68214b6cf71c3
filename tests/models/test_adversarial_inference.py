"""BiGAN, adversarial autoencoder, VAE/GAN and adversarial variational Bayes."""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from linear_networks import Linear, batch_of, points
from playing import advance
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gan_cli.errors import ConfigError
from gan_cli.losses import Hinge, LeastSquares, NonSaturating, Wasserstein
from gan_cli.models.aae import AdversarialAutoencoder
from gan_cli.models.avb import AVB, NoiseBasis
from gan_cli.models.bigan import BiGAN
from gan_cli.models.vae import VAE
from gan_cli.models.vaegan import VAEGAN, half_squares
from gan_cli.networks.family import joint
from gan_cli.penalties import NoPenalty
from gan_cli.priors import Gaussian, Uniform

X = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])


def bigan(loss=None, **settings) -> BiGAN:
    torch.manual_seed(0)
    return BiGAN(points(3), Gaussian(2), Linear(), loss or NonSaturating(), NoPenalty(), **settings)


class TestBiGAN:
    def test_the_generator_s_loss_is_the_discriminator_s_with_exchanged_labels(self) -> None:
        """Donahue et al. 2017, section 3.5, as the authors' code has it."""
        model = bigan()
        torch.manual_seed(1)
        real, fake = (model.discriminator(side) for side in model.pair(batch_of(X)))
        ones, zeros = torch.ones(2), torch.zeros(2)
        exchanged = binary_cross_entropy_with_logits(fake, ones)
        exchanged = exchanged + binary_cross_entropy_with_logits(real, zeros)
        torch.manual_seed(1)
        torch.testing.assert_close(model.generator_loss(batch_of(X)).total, exchanged)

    @pytest.mark.parametrize("loss", [LeastSquares(), Hinge(), Wasserstein()])
    @pytest.mark.filterwarnings("ignore:loss = wasserstein")
    def test_the_encoder_s_term_mirrors_the_generator_s(self, loss) -> None:
        """What is best for G at an output is best for E at the one mirrored at the boundary."""
        model = bigan(loss)
        torch.manual_seed(1)
        real, fake = (model.discriminator(side) for side in model.pair(batch_of(X)))
        middle = loss.boundary or 0.0
        expected = loss.generator(fake) + loss.generator(2 * middle - real)
        torch.manual_seed(1)
        torch.testing.assert_close(model.generator_loss(batch_of(X)).total, expected)

    def test_least_squares_asks_real_pairs_to_0(self) -> None:
        real = torch.tensor([0.2, 0.9])
        loss = LeastSquares()
        found = loss.generator(2 * (loss.boundary or 0.0) - real)
        expected = loss.discriminator(torch.ones(2), real)  # real samples at their target cost 0
        torch.testing.assert_close(found, expected)

    def test_pairs_of_inverse_maps_cannot_be_told_apart_by_their_first_two_moments(self) -> None:
        """Theorem 2: where E inverts G and G's samples are the data, both pairs have one law."""
        model = bigan()
        with torch.no_grad():
            generator = model.generator.get_parameter("layer.weight")
            generator.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
            model.generator.get_parameter("layer.bias").zero_()
            model.encoder.head.weight.copy_(torch.linalg.pinv(generator))
            model.encoder.head.bias.zero_()
        data = model.sample(20000).detach()
        real, fake = (side.detach() for side in model.pair(batch_of(data)))
        # Deviation of a mean of 20,000 products of at most variance 8: .02.
        torch.testing.assert_close(real.T @ real / 20000, fake.T @ fake / 20000, atol=0.1, rtol=0)

    def test_an_encoder_that_draws(self) -> None:
        model = bigan(stochastic=True)
        assert model.encoder(X).shape == (2, 4)
        assert not torch.equal(model._draw(X), model._draw(X))
        assert torch.equal(model.encode(X), model.encode(X))
        with pytest.raises(ConfigError, match=r"model.stochastic = true: the encoder draws"):
            BiGAN(points(3), Uniform(2), Linear(), NonSaturating(), NoPenalty(), stochastic=True)

    @pytest.mark.parametrize("network", ["dcgan", "dcgan_gp", "infogan", "mlp"])
    def test_pairs_of_images_in_every_family(self, network: str) -> None:
        session = session_of("model=bigan", f"network={network}", "data.split=test")
        advance(session, 2)
        assert isinstance(session.model, BiGAN)
        x = session.stream.batch(0).real
        assert session.model.score(x).shape == (8,)
        assert session.model.reconstruct(session.stream.batch(0)).shape == x.shape

    def test_a_penalty_is_on_the_pair(self) -> None:
        session = session_of(
            *("model=bigan", "data.split=test", "loss=wasserstein", "penalty=gradient_penalty")
        )
        advance(session, 2)
        assert "penalty/gradient_penalty" in session.trainer.window.means()


class TestAdversarialAutoencoder:
    def model(self) -> AdversarialAutoencoder:
        torch.manual_seed(0)
        return AdversarialAutoencoder(
            points(3), Gaussian(2), Linear(), NonSaturating(), NoPenalty(), latent_width=8
        )

    def test_real_is_the_prior_and_fake_the_code(self) -> None:
        model = self.model().eval()
        torch.manual_seed(1)
        z = model.prior.sample(2)
        codes = model.encode(X)
        expected = softplus(-model.discriminator(z)).mean()
        expected = expected + softplus(model.discriminator(codes)).mean()
        torch.manual_seed(1)
        torch.testing.assert_close(model.discriminator_loss(batch_of(X)).total, expected)
        torch.manual_seed(1)
        game = softplus(-model.discriminator(codes)).mean()
        torch.testing.assert_close(model.generator_loss(batch_of(X)).total, game)

    def test_three_phases_and_who_learns(self) -> None:
        names = {phase.name: phase.trains for phase in self.model().phases()}
        assert list(names) == ["autoencoder", "discriminator", "generator"]
        model = self.model()
        assert len(model.phases()[-1].trains) == 1
        assert model.phases()[-1].trains[0] is model.encoder

    @pytest.mark.slow
    def test_codes_of_the_ring_take_the_prior_s_moments(self) -> None:
        session = session_of(
            *("model=aae", "data=ring", "prior.dim=2", "batch_size=128", "seed=1"),
            *("model.latent_width=64", "network.width=64", "optimizer.lr=1e-3"),
        )
        assert isinstance(session.model, AdversarialAutoencoder)
        advance(session, 600)
        with session.trainer.sampling():
            codes = session.model.encode(session.dataset.real(torch.arange(4000)))
        assert codes.mean(0).abs().max() < 0.4
        assert codes.square().mean() == pytest.approx(1.0, abs=0.4)


class TestVAEGAN:
    def model(self, **settings) -> VAEGAN:
        torch.manual_seed(0)
        found = VAEGAN(points(3), Gaussian(2), Linear(), NonSaturating(), NoPenalty(), **settings)
        return found.eval()

    def test_the_discriminator_meets_both_kinds_of_fakes(self) -> None:
        """Larsen et al. 2016, Eq. 8, but for log D(x), which stands beside either kind."""
        model = self.model()
        torch.manual_seed(1)
        rebuilt, drawn = model._decoded(batch_of(X))
        d = model.discriminator
        fakes = softplus(d(drawn)).mean() + softplus(d(rebuilt)).mean()
        torch.manual_seed(1)
        found = model.discriminator_loss(batch_of(X)).total
        torch.testing.assert_close(found, fakes + 2 * softplus(-d(X)).mean())

    def test_what_encoder_and_decoder_minimise(self) -> None:
        model = self.model(gamma=0.5)
        torch.manual_seed(1)
        z = model.posterior(X).sample(1)[:, 0]
        like = half_squares(X - model.decoder(z))  # features are the points themselves
        torch.manual_seed(1)
        total = model.encoder_loss(batch_of(X)).total
        torch.testing.assert_close(total, model.posterior(X).kl().mean() + like)
        torch.manual_seed(1)
        rebuilt, drawn = model._decoded(batch_of(X))
        game = softplus(-model.discriminator(rebuilt)).mean()
        game = game + softplus(-model.discriminator(drawn)).mean()
        torch.manual_seed(1)
        total = model.decoder_loss(batch_of(X)).total
        torch.testing.assert_close(total, 0.5 * half_squares(X - rebuilt) + game)

    def test_the_feature_error_is_a_gaussian_s_log_likelihood_up_to_a_constant(self) -> None:
        a, b = torch.randn(2, 4, 5).double()
        log = Normal(b, 1.0).log_prob(a).sum(1).mean()
        constant = -2.5 * math.log(2 * math.pi)
        torch.testing.assert_close(half_squares(a - b).double(), constant - log, atol=1e-5, rtol=0)


class TestAVB:
    def model(self, contrast: bool) -> AVB:
        torch.manual_seed(0)
        found = AVB(points(3), Gaussian(2), Linear(), deviation=0.5, contrast=contrast)
        return found.eval()

    def test_the_kl_is_exact_where_t_is_0_and_q_is_gaussian(self) -> None:
        """Section 5: with the contrast, T only has to learn what is not Gaussian about q."""
        model = self.model(contrast=True)
        n = 40000
        with torch.no_grad():
            for parameter in model.discriminator.parameters():
                parameter.zero_()
        mean, deviation = torch.tensor([0.5, -1.0]), torch.tensor([0.5, 2.0])

        def gaussian(outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            z = mean + deviation * torch.randn(n, 2)
            return z, mean.expand(n, 2), deviation.square().expand(n, 2)

        model.basis.forward = gaussian  # type: ignore[method-assign]
        found = model._ratio(torch.zeros(n, 3))[1].mean()
        kl = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum()
        # The standard error is that of a mean of 40,000 values of a variance of about 9: .015.
        assert found.item() == pytest.approx(kl.item(), abs=0.06)

    def test_without_the_contrast_the_ratio_is_t(self) -> None:
        model = self.model(contrast=False)
        torch.manual_seed(1)
        z, ratio = model._ratio(X)
        torch.testing.assert_close(ratio, model.discriminator(joint(X, z)))

    def test_the_basis_knows_its_own_moments(self) -> None:
        torch.manual_seed(0)
        basis = NoiseBasis(basis=3, noise=4, dim=2)
        outputs = torch.randn(1, 8).expand(50000, -1)
        z, mean, variance = basis(outputs)
        torch.testing.assert_close(z.mean(0), mean.mean(0), atol=0.02, rtol=0)
        torch.testing.assert_close(z.var(0), variance.mean(0), atol=0.02, rtol=0.05)

    def test_the_discriminator_takes_the_prior_for_the_second_class(self) -> None:
        model = self.model(contrast=False)
        torch.manual_seed(1)
        z = model._drawn(X)[1]
        ours = model.discriminator(joint(X, z))
        theirs = model.discriminator(joint(X, torch.randn(2, 2)))
        torch.manual_seed(1)
        found = model.discriminator_loss(batch_of(X)).total
        torch.testing.assert_close(found, softplus(-ours).mean() + softplus(theirs).mean())

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("prior=uniform", "prior = uniform: the bound is written for a standard normal"),
            ("model.basis=0", "model.basis = 0: must be at least 1"),
            ("model.binarise=x", "model.binarise = x: must be none, dynamic or fixed"),
        ],
    )
    def test_what_cannot_be(self, override: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            session_of("model=avb", "data.split=test", override)


def test_a_denoising_vae_sees_noise_in_training_alone() -> None:
    torch.manual_seed(0)
    model = VAE(points(3), Gaussian(2), Linear(), deviation=0.5, corruption=0.3)
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.zeros(4000, 3)
    model.loss(batch_of(x))
    model.eval()
    model.reconstruct(batch_of(x))
    assert seen[0].std().item() == pytest.approx(0.3, abs=0.01)
    assert seen[1].std(0).max() == 0
