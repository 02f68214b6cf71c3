"""Priors: their moments and densities, and the paths between latents."""

import math

import pytest
import torch

from gan_cli.priors import Categorical, Gaussian, Product, Uniform, lerp, slerp

N = 20000


@pytest.mark.parametrize(
    ("prior", "mean", "variance"),
    [(Gaussian(3), 0.0, 1.0), (Uniform(3), 0.0, 1 / 3), (Uniform(3, 2.0, 6.0), 4.0, 16 / 12)],
)
def test_moments(prior, mean: float, variance: float) -> None:
    z = prior.sample(N, generator=torch.Generator().manual_seed(0))
    assert z.shape == (N, 3)
    assert z.dtype == torch.float32
    deviation = math.sqrt(variance)
    tolerance = 5 * deviation / math.sqrt(N)  # five standard errors of the mean
    torch.testing.assert_close(z.mean(0), torch.full((3,), mean), atol=tolerance, rtol=0)
    torch.testing.assert_close(z.var(0), torch.full((3,), variance), rtol=0.06, atol=0)


def test_densities() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    normal = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(Gaussian(2).log_prob(z), normal.log_prob(z).sum(-1))
    torch.testing.assert_close(Uniform(2).log_prob(z), torch.tensor([-2 * math.log(2), -math.inf]))
    one_hot = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(
        Categorical(3).log_prob(one_hot), torch.tensor([-math.log(3), -math.inf])
    )


def test_categories_are_equally_likely() -> None:
    z = Categorical(4).sample(N, generator=torch.Generator().manual_seed(0))
    assert (z.sum(1) == 1).all()
    tolerance = 5 * math.sqrt(0.25 * 0.75 / N)
    torch.testing.assert_close(z.mean(0), torch.full((4,), 0.25), atol=tolerance, rtol=0)


def test_a_product_is_its_parts() -> None:
    prior = Product(noise=Gaussian(5), category=Categorical(3), codes=Uniform(2))
    z = prior.sample(7, generator=torch.Generator().manual_seed(0))
    assert z.shape == (7, 10)
    assert prior.dim == 10
    parts = prior.split(z)
    assert {name: part.shape[1] for name, part in parts.items()} == {
        "noise": 5,
        "category": 3,
        "codes": 2,
    }
    torch.testing.assert_close(prior.join(**parts), z)
    expected = sum(p.log_prob(parts[name]) for name, p in prior.parts.items())
    torch.testing.assert_close(prior.log_prob(z), expected)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_end_points_are_exact(path) -> None:
    a, b = torch.randn(2, 50, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(path(a, b, 0.0), a)
    assert torch.equal(path(a, b, 1.0), b)


def test_lerp_is_a_straight_line() -> None:
    a, b = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lerp(a, b, 0.25), 0.75 * a + 0.25 * b)


def test_slerp_keeps_the_norm_and_turns_evenly() -> None:
    a, b = torch.randn(2, 8, 100, generator=torch.Generator().manual_seed(0)).double()
    a, b = 10 * a / a.norm(dim=1, keepdim=True), 10 * b / b.norm(dim=1, keepdim=True)
    angles = []
    for t in (0.25, 0.5, 0.75):
        middle = slerp(a, b, t)
        torch.testing.assert_close(middle.norm(dim=1), torch.full((8,), 10.0).double())
        angles.append(torch.acos((a * middle).sum(1) / 100))
    torch.testing.assert_close(angles[1], 2 * angles[0])
    torch.testing.assert_close(angles[2], 3 * angles[0])


def test_slerp_agrees_with_the_textbook() -> None:
    a, b = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(2)).double()
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    omega = torch.acos((a * b).sum(1, keepdim=True))
    for t in (0.1, 0.5, 0.9):
        # Shoemake 1985: sin((1-t) w) / sin w a + sin(t w) / sin w b
        expected = (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
        torch.testing.assert_close(slerp(a, b, t), expected)


def test_slerp_of_parallel_antipodal_and_zero_vectors_is_finite() -> None:
    a = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
    for t in (0.0, 0.3, 0.5, 1.0):
        parallel = slerp(a, 2 * a, t)
        torch.testing.assert_close(parallel, a * (1 + t))
        opposite = slerp(a, -a, t)
        assert opposite.isfinite().all()
        torch.testing.assert_close(opposite.norm(dim=1), a.norm(dim=1))
        assert slerp(torch.zeros_like(a), a, t).isfinite().all()
        assert slerp(torch.zeros_like(a), torch.zeros_like(a), t).eq(0).all()
    # Half way between opposites lies a right angle, not the origin.
    middle = slerp(a, -a, 0.5)
    torch.testing.assert_close((middle * a).sum(1), torch.zeros(5), atol=1e-3, rtol=0)


def test_half_way_norms_in_100_dimensions() -> None:
    a, b = torch.randn(2, 2000, 100, generator=torch.Generator().manual_seed(0))
    assert lerp(a, b, 0.5).norm(dim=1).mean().item() == pytest.approx(7.05, abs=0.05)
    assert slerp(a, b, 0.5).norm(dim=1).mean().item() == pytest.approx(9.97, abs=0.05)


def test_priors_know_their_path() -> None:
    a, b = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Gaussian(6).interpolate(a, b, 0.3), slerp(a, b, 0.3))
    torch.testing.assert_close(Uniform(6).interpolate(a, b, 0.3), lerp(a, b, 0.3))
    torch.testing.assert_close(Uniform(6).interpolate(a, b, 0.3, "slerp"), slerp(a, b, 0.3))


def test_a_product_goes_part_by_part() -> None:
    prior = Product(noise=Gaussian(5), category=Categorical(3))
    a, b = prior.sample(2, generator=torch.Generator().manual_seed(3))[:, None]
    middle = prior.split(prior.interpolate(a, b, 0.5, "slerp"))
    start, end = prior.split(a), prior.split(b)
    torch.testing.assert_close(middle["noise"], slerp(start["noise"], end["noise"], 0.5))
    torch.testing.assert_close(middle["category"], (start["category"] + end["category"]) / 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0), "prior.dim = 0"),
        (lambda: Uniform(2, 1.0, 1.0), "prior.low = 1.0: must lie below prior.high"),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
