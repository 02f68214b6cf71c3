import math

import pytest
import torch

from gan_cli.metrics.distances import Gaussians, divergences, energy_distance, wasserstein_1_to

TRUTH = Gaussians(torch.tensor([4.0], dtype=torch.float64), 0.5)
TWO = Gaussians(torch.tensor([-1.0, 2.0], dtype=torch.float64), 0.5)


def draws(n: int, mean: float, deviation: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(n, generator=generator, dtype=torch.float64)


def exact_draws(n: int, mean: float, deviation: float) -> torch.Tensor:
    """The quantiles of a Gaussian: its ideal sample."""
    shares = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return mean + deviation * torch.special.ndtri(shares)


def test_the_mixtures_functions_agree_with_torchs_and_each_other() -> None:
    x = torch.linspace(-5, 6, 23, dtype=torch.float64)
    cdf = torch.distributions.Normal(TWO.means, 0.5).cdf(x[:, None]).mean(1)
    torch.testing.assert_close(TWO.cdf(x), cdf)
    torch.testing.assert_close(TWO.quantile(TWO.cdf(x[6:20])), x[6:20], rtol=0, atol=1e-9)
    h = 1e-4
    slope = (TWO.cdf_integral(x + h) - TWO.cdf_integral(x - h)) / (2 * h)
    torch.testing.assert_close(slope, TWO.cdf(x), rtol=0, atol=1e-8)
    assert TWO.cdf_integral(torch.tensor(-30.0).double()).item() == pytest.approx(0, abs=1e-15)


def beyond(x: float) -> float:
    """P(X > x) of the standard Gaussian."""
    return math.erfc(x / math.sqrt(2)) / 2


def test_mass_keeps_its_digits_in_both_tails() -> None:
    unit = Gaussians(torch.zeros(1, dtype=torch.float64), 1.0)
    low = torch.tensor([-30.0, 20.0, -1.0, -math.inf, 2.0, 1.0], dtype=torch.float64)
    high = torch.tensor([-29.0, 21.0, 1.0, math.inf, math.inf, 1.0], dtype=torch.float64)
    expected = [
        math.log(beyond(29) - beyond(30)),
        math.log(beyond(20) - beyond(21)),
        math.log(math.erf(1 / math.sqrt(2))),
        0.0,
        math.log(beyond(2)),
        -math.inf,
    ]
    torch.testing.assert_close(unit.log_mass(low, high), torch.tensor(expected).double())


def test_one_point_is_as_far_as_the_mean_deviation() -> None:
    # W1 of a point at the mean from N(m, s) is E|x - m| = s sqrt(2 / pi).
    w = wasserstein_1_to(torch.tensor([4.0]), TRUTH)
    assert w == pytest.approx(0.5 * math.sqrt(2 / math.pi), abs=1e-12)
    far = wasserstein_1_to(torch.tensor([104.0]), TRUTH)
    assert far == pytest.approx(100, abs=1e-9)


def test_two_points_on_two_narrow_modes() -> None:
    narrow = Gaussians(torch.tensor([0.0, 10.0], dtype=torch.float64), 0.01)
    w = wasserstein_1_to(torch.tensor([1.0, 12.0]), narrow)
    assert w == pytest.approx((1 + 2) / 2, abs=1e-9)


def test_a_shift_is_its_own_wasserstein_distance() -> None:
    # The ideal sample of 4,000 differs from its Gaussian by less than 1e-3 deviations.
    assert wasserstein_1_to(exact_draws(4000, 4.25, 0.5), TRUTH) == pytest.approx(0.25, abs=5e-4)
    # N(m, s) against N(m, t) on the line: |s - t| sqrt(2 / pi).
    w = wasserstein_1_to(exact_draws(4000, 4.0, 0.8), TRUTH)
    assert w == pytest.approx(0.3 * math.sqrt(2 / math.pi), abs=5e-4)


def test_the_area_is_what_a_fine_grid_says() -> None:
    x = draws(7, 0.5, 2.0)
    grid = torch.linspace(-15, 15, 300_001, dtype=torch.float64)
    step = (x.sort().values[None] <= grid[:, None]).double().mean(1)
    area = (step - TWO.cdf(grid)).abs().sum().item() * (grid[1] - grid[0]).item()
    assert wasserstein_1_to(x, TWO) == pytest.approx(area, abs=1e-4)


def closed_kl(m1: float, s1: float, m2: float, s2: float) -> float:
    return math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


@pytest.mark.parametrize(
    ("mean", "deviation", "forward_loss"),
    [(4.0, 0.5, 0.0), (4.1, 0.5, 0.0), (4.5, 0.5, 0.02), (4.0, 1.0, 0.0), (4.0, 0.3, 0.25)],
)
def test_kl_and_js_of_gaussians_have_their_closed_forms(mean, deviation, forward_loss) -> None:
    # Standard errors at 10,000 samples are about .01 (.02 for the wide one); two of them and the
    # loss within cells. KL(p || q) where q is narrower than p is known to be too low, by up to
    # `forward_loss` of its value.
    x = draws(10_000, mean, deviation)
    found = divergences(x, TRUTH)
    forward = closed_kl(4.0, 0.5, mean, deviation)
    assert found.reverse_kl == pytest.approx(
        closed_kl(mean, deviation, 4.0, 0.5), abs=0.02, rel=0.06
    )
    assert forward * (1 - forward_loss) - 0.03 < found.forward_kl < forward + 0.03
    assert found.js == pytest.approx(closed_js(mean, deviation), abs=0.006)


def closed_js(mean: float, deviation: float) -> float:
    x = torch.linspace(-2, 10, 200_001, dtype=torch.float64)
    p = torch.distributions.Normal(4.0, 0.5).log_prob(x)
    q = torch.distributions.Normal(mean, deviation).log_prob(x)
    m = torch.logaddexp(p, q) - math.log(2)
    area = (p.exp() * (p - m) + q.exp() * (q - m)).sum() / 2
    return area.item() * (x[1] - x[0]).item()


def test_a_perfect_sampler_has_no_kl_on_average() -> None:
    found = [divergences(draws(900, 4.0, 0.5, seed), TRUTH) for seed in range(60)]
    # One value deviates by about .0045; their mean of 60 by .0006. Four of those.
    for name in ("forward_kl", "reverse_kl"):
        assert abs(sum(getattr(d, name) for d in found) / 60) < 0.0024
    # JS is known to be 1 / (8k) too high, with k = 30.
    assert sum(d.js for d in found) / 60 == pytest.approx(1 / 240, rel=0.2)


def test_disjoint_distributions_have_js_of_log_two_at_most() -> None:
    found = divergences(draws(10_000, 40.0, 0.5), TRUTH)
    assert math.log(2) - 0.002 < found.js <= math.log(2)
    assert found.reverse_kl == pytest.approx(closed_kl(40.0, 0.5, 4.0, 0.5), rel=0.01)
    assert found.forward_kl > 5


def test_a_generator_of_one_value_has_infinite_reverse_kl() -> None:
    found = divergences(torch.full((100,), 4.0), TRUTH)
    assert found.reverse_kl == math.inf
    assert found.js < math.log(2)


def test_the_last_cell_may_be_short_and_cells_may_be_chosen() -> None:
    for n in (2, 3, 10, 11, 99, 100, 101):
        found = divergences(draws(n, 4.0, 0.5), TRUTH)
        assert all(math.isfinite(value) for value in found)
    assert divergences(draws(50, 4.0, 0.5), TRUTH, k=1).js > 0
    with pytest.raises(ValueError, match="5 samples in cells of k = 5"):
        divergences(draws(5, 4.0, 0.5), TRUTH, k=5)


def test_energy_distance_by_hand() -> None:
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    # Across: 1, 5, 1, 3: mean 2.5. Within: 2 and 4.
    assert energy_distance(a, b) == pytest.approx(2 * 2.5 - 2 - 4)
    plane = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert energy_distance(plane, plane + torch.tensor([3.0, 4.0])) == pytest.approx(
        2 * (5 + 10 + 0 + 5) / 4 - 5 - 5
    )


def test_energy_distance_of_gaussians() -> None:
    # E|N(d, v)| = sqrt(2v/pi) exp(-d^2/2v) + d erf(d / sqrt(2v)); v = 2 for X - Y, X - X'.
    n, d = 2000, 1.0
    across = 2 / math.sqrt(math.pi) * math.exp(-(d**2) / 4) + d * math.erf(d / 2)
    expected = 2 * across - 2 * 2 / math.sqrt(math.pi)
    found = energy_distance(exact_draws(n, d, 1.0)[:, None], exact_draws(n, 0.0, 1.0)[:, None])
    assert found == pytest.approx(expected, abs=0.005)
    same = energy_distance(draws(n, 0.0, 1.0, 1)[:, None], draws(n, 0.0, 1.0, 2)[:, None])
    assert abs(same) < 0.005


def test_too_few_samples_are_named() -> None:
    with pytest.raises(ValueError, match="1 and 2 samples"):
        energy_distance(torch.zeros(1, 1), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="1 samples in cells"):
        divergences(torch.zeros(1), TRUTH)
