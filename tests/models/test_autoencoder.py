"""Autoencoders: a linear one finds the principal components; the Gaussian of the codes."""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from linear_networks import Linear, batch_of, points
from playing import advance

from gan_cli.errors import ConfigError
from gan_cli.models.autoencoder import Autoencoder
from gan_cli.models.latent_variables import Centring, LatentFit
from gan_cli.priors import Gaussian


def test_a_linear_one_loses_what_principal_components_lose() -> None:
    """The squared error of three numbers by two is the least eigenvalue / 3."""
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    x = 1 + torch.randn(4000, 3) * torch.tensor([2.0, 1.0, 0.3]) @ turn
    least = torch.linalg.eigvalsh(x.T.cov(correction=0))[0]
    model = Autoencoder(points(3), Gaussian(2), Linear())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for step in range(400):
        batch = batch_of(x[torch.arange(100 * step, 100 * step + 100) % 4000])
        optimizer.zero_grad()
        model.loss(batch).total.backward()
        optimizer.step()
    lost = (model.reconstruct(batch_of(x)) - x).square().mean()
    assert lost.item() == pytest.approx(float(least) / 3, rel=0.05)
    # What it generates is a Gaussian with the covariance of its reconstructions: 10,000 draws.
    model.eval()
    made, rebuilt = model.sample(10_000), model.reconstruct(batch_of(x))
    torch.testing.assert_close(made.T.cov(), rebuilt.T.cov(), rtol=0.15, atol=0.15)
    torch.testing.assert_close(made.mean(0), rebuilt.mean(0), rtol=0, atol=0.15)


def test_centring_takes_off_the_mean_of_all_that_was_seen() -> None:
    torch.manual_seed(0)
    x, centring = 5 + torch.randn(40, 3, 2), Centring((3, 2))
    centred = [centring(some) for some in x.split(10)]
    torch.testing.assert_close(centring.mean, x.mean(0))
    torch.testing.assert_close(centred[-1], x[30:] - x.mean(0))
    centring.eval()(torch.zeros(4, 3, 2))
    torch.testing.assert_close(centring.mean, x.mean(0))


class TestLatentFit:
    def test_it_turns_standard_normals_into_codes(self) -> None:
        torch.manual_seed(0)
        shape = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
        fit = LatentFit(3)
        for _ in range(20):  # 1 / RATE: all weigh the same
            fit.record(3 + torch.randn(500, 3) @ shape.T)
        codes = fit(torch.randn(20_000, 3))
        # Standard errors: 2 / 100 (the batches) and 4 / 70 of the largest variance.
        torch.testing.assert_close(codes.mean(0), torch.full((3,), 3.0), rtol=0, atol=0.08)
        torch.testing.assert_close(codes.T.cov(), shape @ shape.T, rtol=0, atol=0.25)
        assert torch.equal(fit(torch.zeros(1, 3))[0], fit.mean)

    def test_old_codes_are_forgotten(self) -> None:
        fit = LatentFit(1)
        for step in range(340):
            fit.record(torch.full((4, 1), 5.0 if step < 300 else -1.0))
        assert fit.mean.item() == pytest.approx(-1 + 6 * 0.95**40, abs=1e-4)

    def test_nothing_changes_in_eval_mode(self) -> None:
        fit = LatentFit(2).eval()
        fit.record(torch.randn(8, 2))
        assert torch.equal(fit.mean, torch.zeros(2))
        assert fit.count.item() == 0

    def test_averages_over_time_are_moments_of_a_distribution(self) -> None:
        fits = [LatentFit(2), LatentFit(2)]
        for place, fit in enumerate(fits):
            fit.record(torch.tensor([[1.0 + 4 * place, 0.0], [2.0 + 4 * place, 0.0]]))
        fits[0].mean.lerp_(fits[1].mean, 0.3)
        fits[0].square.lerp_(fits[1].square, 0.3)
        assert torch.linalg.eigvalsh(fits[0].covariance()).min() >= -1e-6


def test_averaged_weights_and_their_gaussian_belong_together() -> None:
    session = session_of(
        "model=autoencoder", "data=ring", "network.width=16", "network.depth=1", "prior.dim=2",
        "batch_size=64", "data.points=2000", "optimizer.schedule=linear", "steps=400",
    )  # fmt: skip
    advance(session, 400)
    with session.trainer.sampling() as model:
        assert isinstance(model, Autoencoder)
        codes = model.encode(session.dataset.real(torch.arange(2000)))
        covariance = model.fit.covariance().float()
        deviation = codes.std(0)
        assert ((model.fit.mean - codes.mean(0)).abs() < 0.2 * deviation).all()
        torch.testing.assert_close(
            covariance.diagonal().sqrt() / deviation, torch.ones(2), rtol=0, atol=0.15
        )


def test_of_images_there_is_the_way_between_two() -> None:
    session = session_of(
        "model=autoencoder", "data.split=test", "prior.dim=2", "network=dcgan",
        "model.error=bernoulli", "batch_size=32",
    )  # fmt: skip
    advance(session, 1)
    scalars = session.trainer.read()
    assert scalars["reconstruction"] < 0 < scalars["squared_error"]
    assert math.isfinite(scalars["loss/autoencoder"])
    batch = session.stream.batch(0)
    with session.trainer.sampling() as model:
        assert isinstance(model, Autoencoder)
        views = model.views(batch, session.dataset.log_density)
    assert set(views) == {"theory/interpolation", "theory/latent_plane"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("prior=uniform",), "prior = uniform: a Gaussian is fitted to the codes"),
        (("model.error=absolute",), "model.error = absolute: must be squared or bernoulli"),
        (("data=ring", "model.error=bernoulli"), "ring holds points; set model.error=squared"),
    ],
)
def test_an_autoencoder_that_cannot_be_is_refused(overrides: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of("model=autoencoder", *overrides)
