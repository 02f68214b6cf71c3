"""Nearest neighbours against plain loops, and closed forms of what is made of them."""

import math

import pytest
import torch
from torch import Tensor

from gan_cli.metrics import neighbours
from gan_cli.metrics.neighbours import nearest, nearest_k, neighbourhoods, radii, two_sample


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).byte()


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many blocks":
        monkeypatch.setattr(neighbours, "BLOCK", 300)
        monkeypatch.setattr(neighbours, "ROWS", 7)


@pytest.mark.usefixtures("blocks")
def test_nearest_is_that_of_all_distances() -> None:
    queries, bank = pixels(20, 3, 4, 4, seed=1), pixels(90, 3, 4, 4, seed=2)
    distance, index = nearest(queries, bank)
    every = torch.cdist(queries.double().flatten(1), bank.double().flatten(1))
    torch.testing.assert_close(distance, every.min(1).values)
    assert index.tolist() == every.min(1).indices.tolist()


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 4, 90])
def test_the_k_nearest_are_those_of_all_distances(k: int) -> None:
    queries, bank = numbers(20, 6, seed=1), numbers(90, 6, seed=2)
    distance, index = nearest_k(queries, bank, k)
    every = torch.cdist(queries.double(), bank.double()).sort(1)
    torch.testing.assert_close(distance, every.values[:, :k])
    assert index.tolist() == every.indices[:, :k].tolist()
    with pytest.raises(ValueError, match="k = 91: must be from 1 to the 90 samples"):
        nearest_k(queries, bank, 91)


@pytest.mark.usefixtures("blocks")
def test_nearest_to_a_copy_is_the_copy_at_distance_0() -> None:
    bank = numbers(50, 30) + 1000
    distance, index = nearest(bank[[3, 41]], bank)
    assert index.tolist() == [3, 41]
    assert distance.tolist() == [0, 0]


def test_nearest_of_nothing_and_in_nothing() -> None:
    distance, index = nearest(torch.zeros(0, 3), torch.zeros(2, 3))
    assert (len(distance), len(index)) == (0, 0)
    with pytest.raises(ValueError, match="of one form"):
        nearest(torch.zeros(2, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="of one form"):
        nearest(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.usefixtures("blocks")
def test_radii_leave_each_point_itself_out() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    expected = [[1, 9], [1, 4], [4, 9], [16, 36]]  # squared, to the first and second neighbour
    assert radii(points, (1, 2)).tolist() == expected


def plain(real: Tensor, fake: Tensor, k: int, dense_k: int) -> tuple[float, ...]:
    """The definitions, pair by pair."""
    d_real, d_fake = torch.cdist(real, real), torch.cdist(fake, fake)
    across = torch.cdist(real, fake)  # [real, fake]
    r = d_real.sort(1).values  # the first is the point itself
    f = d_fake.sort(1).values
    n, m = across.shape
    precision = sum(any(across[i, j] <= r[i, k] for i in range(n)) for j in range(m)) / m
    recall = sum(any(across[i, j] <= f[j, k] for j in range(m)) for i in range(n)) / n
    held = [sum(bool(across[i, j] <= r[i, dense_k]) for i in range(n)) for j in range(m)]
    coverage = sum(bool(across[i].min() <= r[i, dense_k]) for i in range(n)) / n
    return precision, recall, sum(held) / (dense_k * m), coverage


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbourhoods_are_their_definitions(dtype: torch.dtype) -> None:
    real, fake = numbers(30, 3, seed=1).to(dtype), (numbers(25, 3, seed=2) * 0.7 + 0.4).to(dtype)
    found = neighbourhoods(real, fake)
    assert tuple(found) == pytest.approx(plain(real.double(), fake.double(), 3, 5), rel=1e-12)
    assert 0 < found.recall < 1  # so that the comparison says something


def test_neighbourhoods_of_a_line_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # radii for k = 1: 1, 1, 1, 8
    fake = torch.tensor([[0.5], [2.5], [30.0]])  # radii for k = 1: 2, 2, 27.5
    found = neighbourhoods(real, fake, manifold_k=1, density_k=1)
    assert found.precision == 2 / 3  # 30 is in no real ball
    assert found.recall == 1.0  # 0, 1, 2 near 0.5; 10 within 27.5 of 30
    assert found.density == (2 + 2) / 3  # 0.5 in the balls of 0 and 1; 2.5 in those of 2 and 10
    assert found.coverage == 1.0


def test_what_is_far_away_has_neither_precision_nor_coverage() -> None:
    found = neighbourhoods(numbers(30, 4), numbers(30, 4, seed=1) + 100)
    assert tuple(found) == (0, 0, 0, 0)


def test_a_collapsed_generator_is_precise_and_covers_little() -> None:
    real = numbers(100, 2)
    fake = real[:1] + 1e-3 * numbers(100, 2, seed=1)
    found = neighbourhoods(real, fake)
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.3


def test_density_and_coverage_of_one_distribution() -> None:
    # Naeem et al. 2020 on identical sets: E[density] = 1, and with n real and n fake samples
    # E[coverage] = 1 - (n - 1) ... (n - k) / ((2n - 1) ... (2n - k)), whatever the distribution.
    n, k, runs = 60, 5, 40
    found = [
        neighbourhoods(numbers(n, 6, seed=2 * i), numbers(n, 6, seed=2 * i + 1))
        for i in range(runs)
    ]
    density = torch.tensor([one.density for one in found])
    coverage = torch.tensor([one.coverage for one in found])
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert abs(density.mean() - 1) < 4 * density.std() / math.sqrt(runs)
    assert abs(coverage.mean() - (1 - missed)) < 4 * coverage.std() / math.sqrt(runs)


def test_neighbourhoods_need_more_than_k_samples() -> None:
    with pytest.raises(ValueError, match="fake = 5 samples: must be more than k"):
        neighbourhoods(numbers(9, 2), numbers(5, 2))


@pytest.mark.usefixtures("blocks")
def test_two_sample_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [10.0]])
    fake = torch.tensor([[10.5], [11.5], [0.9]])
    # nearest of 0: 0.9 (fake); of 1: 0.9 (fake); of 10: 10.5 (fake)
    # nearest of 10.5: 10 (real); of 11.5: 10.5 (fake); of 0.9: 1 (real)
    assert two_sample(real, fake) == (1 / 6, 0, 1 / 3)


def test_two_sample_tells_apart_what_differs() -> None:
    assert two_sample(numbers(20, 3), numbers(20, 3, seed=1) + 50) == (1, 1, 1)


def test_two_sample_of_copies_is_0() -> None:
    real = numbers(20, 3)
    assert two_sample(real, real.clone()) == (0, 0, 0)


def test_two_sample_of_one_distribution_is_a_half() -> None:
    found = torch.tensor(
        [
            two_sample(numbers(50, 4, seed=2 * i), numbers(50, 4, seed=2 * i + 1)).accuracy
            for i in range(40)
        ]
    )
    # Leaving one out of 100, 49 of the 99 others are of its kind.
    assert abs(found.mean() - 49 / 99) < 4 * found.std() / math.sqrt(40)
    with pytest.raises(ValueError, match="at least 2 each"):
        two_sample(numbers(1, 2), numbers(5, 2))
