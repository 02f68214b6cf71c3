"""Moments in one pass, and the Fréchet distance against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_cli.metrics.frechet import ROWS, Moments, extrapolated_distance, frechet_distance


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(numbers(width, width, seed=seed)).Q


def spd(eigenvalues: Tensor, basis: Tensor) -> Tensor:
    made = basis @ torch.diag(eigenvalues) @ basis.T
    return (made + made.T) / 2


def moments(features: Tensor, pieces: list[int] | None = None) -> Moments:
    found = Moments(features.shape[1])
    for piece in features.split(pieces or [len(features)]):
        found.update(piece)
    return found


def distance(a: Moments, b: Moments) -> float:
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def test_moments_are_the_mean_and_the_unbiased_covariance() -> None:
    x = numbers(50, 6)
    found = moments(x)
    assert found.count == 50
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found.covariance, torch.cov(x.T), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("pieces", [[100], [1] * 100, [99, 1], [33, 33, 34], [0, 100]])
def test_moments_do_not_depend_on_the_pieces(pieces: list[int]) -> None:
    x = numbers(100, 8) * torch.logspace(-3, 3, 8) + 1000
    found = moments(x, pieces)
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-12, atol=0)
    expected = torch.cov(x.T)
    scale = expected.diag().sqrt().outer(expected.diag().sqrt())
    assert ((found.covariance - expected).abs() / scale).max() < 1e-10


def test_moments_are_stable_far_from_zero() -> None:
    # Sums of squares would lose the variance, 1, beside the squared mean, 1e14.
    x = numbers(3 * ROWS, 2)
    far = moments(x + 1e7, [1000, 1000, 1072])
    torch.testing.assert_close(far.covariance, torch.cov(x.T), rtol=1e-7, atol=1e-7)


def test_moments_take_more_rows_than_they_convert_at_once() -> None:
    x = numbers(2 * ROWS + 7, 3).float()
    torch.testing.assert_close(moments(x).covariance, torch.cov(x.double().T))


def test_moments_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"must be \[n, 4\]"):
        Moments(4).update(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="at least 2"):
        _ = moments(torch.zeros(1, 4)).covariance


def test_distance_of_identical_gaussians_is_0() -> None:
    mean, cov = numbers(40), spd(torch.logspace(-6, 2, 40).double(), rotation(40))
    assert frechet_distance(mean, cov, mean, cov) == pytest.approx(0, abs=1e-10)


def test_distance_in_one_dimension() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2
    def one(value: float) -> Tensor:
        return torch.tensor([[value]])

    found = frechet_distance(one(1)[0], one(9.0), one(3)[0], one(4.0))
    assert found == pytest.approx((1 - 3) ** 2 + (3 - 2) ** 2, rel=1e-12)


def test_distance_of_diagonal_gaussians() -> None:
    a, b = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 0.0, 1.0])
    mean = torch.tensor([1.0, 2.0, -2.0])
    found = frechet_distance(mean, a.diag(), torch.zeros(3), b.diag())
    expected = 9 + (1 - 2) ** 2 + (2 - 0) ** 2 + (3 - 1) ** 2
    assert found == pytest.approx(expected, rel=1e-12)


def test_distance_of_commuting_gaussians_is_that_of_their_eigenvalues() -> None:
    basis = rotation(12)
    a, b = numbers(12, seed=1).exp(), numbers(12, seed=2).exp()
    zero = torch.zeros(12)
    found = frechet_distance(zero, spd(a, basis), zero, spd(b, basis))
    assert found == pytest.approx((a.sqrt() - b.sqrt()).square().sum().item(), rel=1e-10)


def test_distance_of_full_two_by_two_gaussians() -> None:
    # In two dimensions tr (C1 C2)^1/2 = sqrt(tr(C1 C2) + 2 sqrt(det C1 det C2)).
    a, b = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([[5.0, -2.0], [-2.0, 1.0]])
    root = math.sqrt((a @ b).trace().item() + 2 * math.sqrt(5.0 * 1.0))
    found = frechet_distance(torch.tensor([1.0, 0.0]), a, torch.tensor([0.0, 2.0]), b)
    assert found == pytest.approx(5 + 5 + 6 - 2 * root, rel=1e-12)


def test_distance_agrees_with_the_square_root_of_the_product() -> None:
    x, y = numbers(200, 30, seed=1), numbers(150, 30, seed=2) @ numbers(30, 30, seed=3) * 0.2 + 1
    a, b = moments(x), moments(y)
    root = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp(min=0).sqrt().sum()
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    assert distance(a, b) == pytest.approx((expected - 2 * root).item(), rel=1e-9)


def test_distance_is_symmetric_and_moves_with_neither_shift_nor_rotation() -> None:
    x, y, turn = numbers(90, 9, seed=1), numbers(80, 9, seed=2) * 2 + 1, rotation(9)
    found = distance(moments(x), moments(y))
    assert distance(moments(y), moments(x)) == pytest.approx(found, rel=1e-11)
    turned = distance(moments(x @ turn + 7), moments(y @ turn + 7))
    assert turned == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("samples", [2, 5, 20])
def test_distance_of_few_samples_whose_covariance_is_singular(samples: int) -> None:
    x = numbers(samples, 64)
    assert distance(moments(x), moments(x)) == pytest.approx(0, abs=1e-11)
    assert distance(moments(x), moments(x + 3)) == pytest.approx(9 * 64, rel=1e-11)
    assert distance(moments(x), moments(x * 2)) == pytest.approx(
        (x.mean(0)).square().sum().item() + torch.cov(x.T).trace().item(), rel=1e-11
    )


def test_distance_of_gaussians_in_orthogonal_planes_is_all_their_spread() -> None:
    a, b = torch.diag(torch.tensor([1.0, 2, 0, 0])), torch.diag(torch.tensor([0, 0, 3.0, 4]))
    assert frechet_distance(torch.zeros(4), a, torch.zeros(4), b) == pytest.approx(10, rel=1e-12)


def test_distance_from_a_single_point() -> None:
    cov = spd(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), rotation(3))
    zero = torch.zeros(3)
    assert frechet_distance(zero, cov, zero, torch.zeros(3, 3)) == pytest.approx(6, rel=1e-12)


def test_distance_refuses_what_is_no_covariance() -> None:
    zero, good = torch.zeros(2), torch.eye(2)
    with pytest.raises(ValueError, match="negative eigenvalue -1"):
        frechet_distance(zero, torch.diag(torch.tensor([1.0, -1.0])), zero, good)
    with pytest.raises(ValueError, match="not symmetric"):
        frechet_distance(zero, good, zero, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet_distance(zero * torch.nan, good, zero, good)


def test_fid_infinity_is_the_line_at_no_samples_less() -> None:
    """Against numpy's fit of the same distances (Chong and Forsyth 2020, their code)."""
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, covariance = torch.full((4,), 0.1).double(), torch.eye(4).double()
    random = torch.Generator().manual_seed(0)
    counts, distances = np.linspace(100, 300, 15).astype(int), []
    for count in counts:
        some = x[torch.randperm(300, generator=random)[: int(count)]]
        distances.append(frechet_distance(some.mean(0), some.T.cov(), mean, covariance))
    expected = np.polyfit(1 / counts, distances, 1)[1]
    assert extrapolated_distance(x, mean, covariance, 100) == pytest.approx(expected, rel=1e-9)


def test_fid_infinity_has_less_bias_than_fid() -> None:
    """Of the true distribution 0 is right; FID of 400 samples is far from it."""
    found, plain = [], []
    mean, covariance = torch.zeros(20).double(), torch.eye(20).double()
    for seed in range(8):
        x = numbers(400, 20, seed=seed)
        found.append(extrapolated_distance(x, mean, covariance, 100, seed))
        plain.append(frechet_distance(x.mean(0), x.T.cov(), mean, covariance))
    assert abs(np.mean(found)) < np.mean(plain) / 5
    for least in (1, 400):
        with pytest.raises(ValueError, match="must be from 2 to below"):
            extrapolated_distance(numbers(400, 20), mean, covariance, least)
