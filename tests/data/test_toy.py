import math
import re

import pytest
import torch

from gan_cli.data.toy import Gaussian1D, Grid, Mixture1D, Ring
from gan_cli.errors import ConfigError


def test_gaussian_has_its_mean_and_deviation() -> None:
    data = Gaussian1D()
    assert data.values.shape == (131072, 1)
    assert data.values.dtype == torch.float32
    assert data.spec.classes == 0
    # Standard errors of n = 131072 points: .5/sqrt(n) and .5/sqrt(2n); four of them.
    assert data.values.mean().item() == pytest.approx(4, abs=4 * 0.5 / 362)
    assert data.values.std().item() == pytest.approx(0.5, abs=4 * 0.5 / 512)


def test_gaussian_density_is_the_textbooks() -> None:
    x = torch.tensor([[4.0], [4.5], [3.0]], dtype=torch.float64)
    expected = torch.distributions.Normal(4.0, 0.5).log_prob(x)[:, 0]
    torch.testing.assert_close(Gaussian1D().log_density(x), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("data", [Mixture1D(points=4000), Ring(points=4000), Grid(points=4000)])
def test_density_is_that_of_torchs_mixture(data) -> None:
    modes = data.modes.double()
    parts = torch.distributions.Independent(
        torch.distributions.Normal(modes, data.deviation), 1, validate_args=False
    )
    weights = torch.distributions.Categorical(logits=torch.zeros(len(modes)).double())
    mixture = torch.distributions.MixtureSameFamily(weights, parts)
    dim = modes.shape[1]
    x = torch.cat([data.values[:50], torch.zeros(1, dim), torch.full((1, dim), 9.0)]).double()
    torch.testing.assert_close(data.log_density(x), mixture.log_prob(x))
    close = data.log_density(x.float()).double() - data.log_density(x)
    assert close[:50].abs().max() < 1e-3
    assert data.log_density(x.float()).isfinite().all()


def test_grids_density_integrates_to_one() -> None:
    data = Grid(side=2, spacing=1.0, deviation=0.2, points=1)
    step = 0.02
    line = torch.arange(-2, 2, step, dtype=torch.float64)
    mass = data.log_density(torch.cartesian_prod(line, line)).exp().sum().item() * step**2
    assert mass == pytest.approx(1, abs=1e-6)


def test_a_mixture_on_the_line_has_its_means_and_its_mass() -> None:
    data = Mixture1D(means=[-3, 0.0, 1.5], deviation=0.25)
    assert data.spec.shape == (1,)
    assert data.spec.classes == 3
    assert data.modes.tolist() == [[-3], [0], [1.5]]
    for mode, mean in enumerate((-3, 0, 1.5)):
        points = data.values[data.targets == mode]
        # Four standard errors of a third of the points.
        assert points.mean().item() == pytest.approx(mean, abs=4 * 0.25 / 209)
    line = torch.arange(-6, 5, 0.01, dtype=torch.float64)
    assert data.log_density(line[:, None]).exp().sum().item() * 0.01 == pytest.approx(1, abs=1e-9)


def test_ring_lies_on_its_circle() -> None:
    data = Ring(modes=8, radius=2.0)
    assert data.modes.shape == (8, 2)
    torch.testing.assert_close(data.modes.norm(dim=1), torch.full((8,), 2.0))
    torch.testing.assert_close(data.modes[2], torch.tensor([0.0, 2.0]), atol=1e-6, rtol=0)
    assert data.spec.classes == 8


def test_grid_has_25_modes_two_apart() -> None:
    data = Grid()
    assert data.modes.shape == (25, 2)
    assert data.modes.unique(dim=0).shape == (25, 2)
    assert sorted(set(data.modes.flatten().tolist())) == [-4, -2, 0, 2, 4]
    assert data.spec.classes == 25
    assert data.deviation == 0.05


@pytest.mark.parametrize("data", [Mixture1D(), Ring(), Grid()])
def test_labels_name_the_nearest_mode_and_are_balanced(data) -> None:
    nearest = torch.cdist(data.values, data.modes).argmin(1)
    # On the line the modes are 8 deviations apart, and 1 point in 31574 lies beyond 4.
    assert (nearest != data.targets).sum() <= (14 if data.modes.shape[1] == 1 else 0)
    expected = len(data) / len(data.modes)
    assert (data.targets.bincount() - expected).abs().max() < 5 * math.sqrt(expected)
    residual = (data.values - data.modes[data.targets]).std()
    assert residual.item() == pytest.approx(data.deviation, rel=0.01)


def test_points_are_the_same_every_time() -> None:
    assert torch.equal(Ring(points=100).values, Ring(points=100).values)


def test_one_mode_alone_works() -> None:
    assert Ring(modes=1).spec.classes == 1
    assert Grid(side=1).modes.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian1D(deviation=0), "data.deviation = 0: a number from 4e-06 "),
        (lambda: Gaussian1D(deviation=math.nan), "data.deviation = nan: a number from 4e-06"),
        (lambda: Gaussian1D(deviation=1e-300), "data.deviation = 1e-300: a number from 4e-06"),
        (lambda: Gaussian1D(deviation=1e39), "to 1e+12 is needed"),
        (lambda: Gaussian1D(mean=math.inf), "data.mean = inf: a number from -1e+12 to 1e+12"),
        (lambda: Gaussian1D(mean=1e39), "data.mean = 1e+39: a number from -1e+12 to 1e+12"),
        (lambda: Mixture1D(means=[1, 1e39]), "data.means = [1,1e+39]: one or more different"),
        (lambda: Ring(radius=1e39), "data.radius = 1e+39: a positive number up to 1e+12"),
        (lambda: Grid(spacing=1e39), "data.spacing = 1e+39: a positive number up to 1e+12"),
        (lambda: Gaussian1D(points=0), "data.points = 0: at least 1 is needed"),
        (lambda: Mixture1D(means=[]), "data.means = []: one or more different numbers are needed"),
        (lambda: Mixture1D(means=[1, 1.0]), "data.means = [1,1]: one or more different numbers"),
        (lambda: Mixture1D(means=[1, math.nan]), "data.means = [1,nan]: one or more different"),
        (lambda: Mixture1D(deviation=-1), "data.deviation = -1: a number from 2e-06"),
        (lambda: Ring(modes=0), "data.modes = 0: at least 1 is needed"),
        (lambda: Ring(radius=-1.0), "data.radius = -1: a positive number"),
        (lambda: Grid(side=0), "data.side = 0: at least 1 is needed"),
        (lambda: Grid(spacing=0.0), "data.spacing = 0: a positive number"),
    ],
)
def test_impossible_settings_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()
