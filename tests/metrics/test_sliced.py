"""Sliced Wasserstein distance against closed forms."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from gan_cli.metrics.distances import sliced_wasserstein, wasserstein_power


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_set_and_its_shuffled_copy_are_at_distance_0() -> None:
    x = numbers(40, 3, 4, 4)
    assert sliced_wasserstein(x, x.flip(0)) == pytest.approx(0, abs=1e-6)


def test_in_one_dimension_a_shift_is_the_distance() -> None:
    x = numbers(30, 1)
    for p in (1, 2):
        assert sliced_wasserstein(x, x + 2.5, p=p) == pytest.approx(2.5, rel=1e-5)


def test_a_shift_in_d_dimensions_is_divided_by_the_root_of_d() -> None:
    # E <v, w>^2 = |v|^2 / d over directions w; its deviation over 4,096 of them gives the rest.
    d, directions = 8, 4096
    x, shift = numbers(20, d), torch.ones(d)
    found = sliced_wasserstein(x, x + shift, directions) ** 2
    expected = d / d
    deviation = math.sqrt(2 * (d - 1) / (d + 2)) / math.sqrt(directions)
    assert found == pytest.approx(expected, abs=4 * deviation)


def test_scaling_both_sets_scales_the_distance() -> None:
    x, y = numbers(25, 5, seed=1), numbers(30, 5, seed=2) + 1
    found = sliced_wasserstein(x, y)
    assert sliced_wasserstein(3 * x, 3 * y) == pytest.approx(3 * found, rel=1e-5)
    assert sliced_wasserstein(y, x) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("sizes", [(6, 6), (6, 9), (1, 7), (10, 3)])
def test_one_dimension_agrees_with_scipy_also_for_unlike_sizes(sizes: tuple[int, int]) -> None:
    x, y = numbers(sizes[0], 3, seed=1), numbers(sizes[1], 3, seed=2)
    found = wasserstein_power(x, y, 1)
    for k in range(3):
        expected = wasserstein_distance(x[:, k].numpy(), y[:, k].numpy())
        assert found[k].item() == pytest.approx(expected, rel=1e-6)


def test_second_power_by_hand_for_unlike_sizes() -> None:
    # quantiles of {0, 1} and {0, 1, 2}: |0-0| on 1/3, |0-1| on 1/6, |1-1| on 1/6, |1-2| on 1/3
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    assert wasserstein_power(x, y, 2).item() == pytest.approx(1 / 6 + 1 / 3, rel=1e-12)


def test_the_seed_decides_the_directions() -> None:
    x, y = numbers(20, 6, seed=1), numbers(20, 6, seed=2)
    assert sliced_wasserstein(x, y, 100, seed=3) == sliced_wasserstein(x, y, 100, seed=3)
    assert sliced_wasserstein(x, y, 100, seed=3) != sliced_wasserstein(x, y, 100, seed=4)
    with pytest.raises(ValueError, match="must be alike"):
        sliced_wasserstein(x, y[:0])
