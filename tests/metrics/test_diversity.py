"""Mean pairwise distance."""

import pytest
import torch

from gan_cli.metrics import diversity
from gan_cli.metrics.diversity import mean_pairwise_distance


def test_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert mean_pairwise_distance(points) == pytest.approx((5 + 0 + 5) / 3, rel=1e-12)


@pytest.mark.parametrize("rows", [3, 1024])
def test_it_is_the_mean_over_all_pairs(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "ROWS", rows)
    x = torch.randn(20, 2, 3, 3, generator=torch.Generator().manual_seed(0)) + 100
    expected = torch.nn.functional.pdist(x.double().flatten(1)).mean().item()
    assert mean_pairwise_distance(x) == pytest.approx(expected, rel=1e-9)


def test_copies_of_one_sample_have_none() -> None:
    assert mean_pairwise_distance(torch.ones(10, 5) * 7.3) == pytest.approx(0, abs=1e-7)
    with pytest.raises(ValueError, match="at least 2"):
        mean_pairwise_distance(torch.ones(1, 5))
