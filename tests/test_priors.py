"""Priors: their moments and densities, and the paths between latents."""

import math

import pytest
import torch

from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform, lerp, slerp

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


@pytest.mark.parametrize("path", [lerp, slerp, Gaussian(100).matched, Uniform(100, -9, 9).matched])
def test_end_points_are_exact(path) -> None:
    a, b = torch.randn(2, 50, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(path(a, b, 0.0), a)
    assert torch.equal(path(a, b, 1.0), b)


@pytest.mark.parametrize("prior", [Gaussian(4), Uniform(4), Uniform(4, 2.0, 6.0)])
@pytest.mark.parametrize("t", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_the_matched_path_keeps_the_distribution(prior: Prior, t: float) -> None:
    """Each coordinate midway is distributed as at the ends (Kolmogorov and Smirnov's distance)."""
    generator = torch.Generator().manual_seed(0)
    a, b = prior.sample(N, generator=generator), prior.sample(N, generator=generator)
    way = prior.interpolate(a, b, t, "matched").double().flatten()
    if isinstance(prior, Uniform):
        share = (way - prior.low) / (prior.high - prior.low)
    else:
        share = torch.special.ndtr(way)
    ranks = torch.arange(1, len(way) + 1, dtype=torch.float64) / len(way)
    # 1.95 / sqrt(n) is passed by one of a thousand honest samples.
    assert (share.sort().values - ranks).abs().max() < 1.95 / math.sqrt(len(way))


def test_the_matched_path_of_uniforms_by_the_trapezoid_s_own_integral() -> None:
    t, y = 0.3, torch.linspace(-1, 1, 9, dtype=torch.float64)
    # .7 U + .3 U': density 1 / 1.4 up to .4, then falling to 0 at 1.
    grid = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    density = torch.where(grid.abs() <= 0.4, 1 / 1.4, (1 - grid.abs()) / (4 * 0.7 * 0.3))
    cdf = torch.cumulative_trapezoid(density, grid)
    expected = torch.tensor([2 * cdf[(grid < value).sum() - 1].item() - 1 for value in y[1:]])
    got = Uniform(1).matched(y[1:, None], y[1:, None], t)[:, 0]
    torch.testing.assert_close(got, expected.double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("path", ["lerp", "slerp", "matched"])
def test_norms_midway_of_100_dimensions(path: str) -> None:
    """|z| is 10 at the ends; midway 7.07 by lerp, 10 by the others."""
    generator = torch.Generator().manual_seed(0)
    prior = Gaussian(100)
    a, b = prior.sample(4000, generator=generator), prior.sample(4000, generator=generator)
    midway = prior.interpolate(a, b, 0.5, path).norm(dim=1).mean().item()
    assert a.norm(dim=1).mean().item() == pytest.approx(10, abs=0.05)
    assert midway == pytest.approx(10 / math.sqrt(2) if path == "lerp" else 10, abs=0.05)


def test_a_category_has_no_matched_path_but_its_product_has() -> None:
    prior = Product(category=Categorical(3), codes=Uniform(2))
    a, b = prior.sample(50), prior.sample(50)
    way = prior.interpolate(a, b, 0.5, "matched")
    torch.testing.assert_close(way[:, :3], (a + b)[:, :3] / 2)
    expected = Uniform(2).matched(a[:, 3:], b[:, 3:], 0.5)
    torch.testing.assert_close(way[:, 3:], expected)


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
        (lambda: Uniform(2, 1.0, 1.0), "prior.low = 1: must lie below prior.high"),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("bound", [0.3, 1.0, 2.5])
def test_a_truncated_normal_has_its_moments_and_order(bound: float) -> None:
    z = Gaussian(1).sample(N, generator=torch.Generator().manual_seed(0))
    found = Gaussian(1).truncated(z, bound)
    assert found.abs().max() <= bound
    assert (found[z[:, 0].argsort(), 0].diff() >= 0).all()
    density = math.exp(-bound * bound / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(bound / math.sqrt(2))
    variance = 1 - 2 * bound * density / inside
    tolerance = 5 * math.sqrt(variance / N)
    assert found.mean().item() == pytest.approx(0, abs=tolerance)
    assert found.var().item() == pytest.approx(variance, rel=0.06)


def test_a_wide_truncation_changes_nothing() -> None:
    z = torch.tensor([[-4.0, -1.0, 0.0, 2.0]])
    torch.testing.assert_close(Gaussian(4).truncated(z, 40.0), z)
    torch.testing.assert_close(Gaussian(4).truncated(z * 5, 1.0).abs().max(), torch.tensor(1.0))


def test_other_priors_truncated() -> None:
    z = torch.tensor([[3.0, 4.0, 6.0]])
    assert Uniform(3, 2.0, 6.0).truncated(z, 0.5).tolist() == [[3.5, 4, 5]]
    assert Uniform(3, 2.0, 6.0).truncated(z, 2.0).tolist() == z.tolist()
    prior = Product(noise=Uniform(2), category=Categorical(2))
    assert prior.truncated(torch.tensor([[1.0, -0.5, 0, 1]]), 0.5).tolist() == [[0.5, -0.25, 0, 1]]
    with pytest.raises(NotImplementedError, match="Own cannot be truncated"):
        Own(2).truncated(z, 1.0)


class Own(Gaussian):
    def truncated(self, z: torch.Tensor, bound: float) -> torch.Tensor:
        return Prior.truncated(self, z, bound)
