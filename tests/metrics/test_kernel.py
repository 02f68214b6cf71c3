"""KID against sums written out, and against what is known of unbiased estimates."""

import pytest
import torch
from torch import Tensor

from gan_cli.metrics.kernel import kernel_distance, squared_discrepancy


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernel(a: Tensor, b: Tensor) -> float:
    return ((a @ b).item() / len(a) + 1) ** 3


def test_squared_discrepancy_by_hand() -> None:
    # width 1: k(a, b) = (a b + 1)^3; x = 0, 1; y = 2, -1
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [-1.0]])
    within_x, within_y = 1.0, (-1.0) ** 3
    across = (1 + 1 + 27 + 0) / 4
    expected = within_x + within_y - 2 * across
    assert squared_discrepancy(x, y).item() == pytest.approx(expected, rel=1e-12)


def test_squared_discrepancy_is_the_double_sum() -> None:
    x, y = numbers(7, 5, seed=1), numbers(4, 5, seed=2) + 1
    within_x = sum(kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
    within_y = sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(kernel(a, b) for a in x for b in y) / 28
    expected = within_x + within_y - 2 * across
    assert squared_discrepancy(x, y).item() == pytest.approx(expected, rel=1e-12)


def test_estimates_of_two_samples_of_one_distribution_average_0() -> None:
    x, y = numbers(400, 10, 8, seed=3), numbers(400, 10, 8, seed=4)
    found = torch.stack([squared_discrepancy(a, b) for a, b in zip(x, y, strict=True)])
    assert abs(found.mean()) < 4 * found.std() / 20
    assert found.min() < 0  # as an unbiased estimate of 0 must be at times


def test_estimates_average_the_true_value() -> None:
    # In one dimension with x = a and y = b always, MMD^2 = k(a, a) + k(b, b) - 2 k(a, b).
    a, b = torch.full((5, 1), 2.0), torch.full((3, 1), -1.0)
    assert squared_discrepancy(a, b).item() == pytest.approx(125 + 8 - 2 * (-1), rel=1e-12)


def test_distance_is_the_mean_over_seeded_subsets() -> None:
    x, y = numbers(60, 6, seed=1), numbers(50, 6, seed=2) * 1.5
    first = kernel_distance(x, y, subsets=30, subset_size=20, seed=7)
    assert kernel_distance(x, y, subsets=30, subset_size=20, seed=7) == first
    other = kernel_distance(x, y, subsets=30, subset_size=20, seed=8)
    assert other.value != first.value
    assert first.subset_size == 20
    assert abs(first.value - other.value) < 4 * (first.deviation + other.deviation) / 30**0.5


def test_subsets_shrink_to_what_there_is() -> None:
    x, y = numbers(12, 4, seed=1), numbers(9, 4, seed=2)
    found = kernel_distance(x, y, subsets=50)
    assert found.subset_size == 9
    assert found.error is None  # since y is always taken whole


def test_a_subset_of_everything_is_taken_once() -> None:
    x, y = numbers(10, 4, seed=1), numbers(10, 4, seed=2) + 1
    found = kernel_distance(x, y)
    assert found.value == pytest.approx(squared_discrepancy(x, y).item(), rel=1e-12)
    assert (found.deviation, found.error, found.subset_size) == (0.0, None, 10)


def test_error_is_that_of_repeated_experiments() -> None:
    runs = [
        kernel_distance(
            numbers(100, 4, seed=2 * i),
            numbers(100, 4, seed=2 * i + 1) * 1.5 + 0.5,
            subsets=25,
            subset_size=25,
        )
        for i in range(60)
    ]
    values = torch.tensor([run.value for run in runs])
    claimed = torch.tensor([run.error for run in runs]).square().mean().sqrt()
    # A deviation of 60 values has a standard error of 1 / sqrt(118) = 9 %; four of these.
    assert values.std().item() == pytest.approx(claimed.item(), rel=0.37)


def test_single_precision_is_close_to_double() -> None:
    x, y = numbers(50, 64, seed=1), numbers(50, 64, seed=2) + 0.1
    double, single = squared_discrepancy(x, y), squared_discrepancy(x.float(), y.float())
    assert single.item() == pytest.approx(double.item(), abs=1e-6)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="must be alike"):
        kernel_distance(torch.zeros(5, 3), torch.zeros(5, 4))
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(5, 3))
