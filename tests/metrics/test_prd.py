"""Precision and recall of distributions: the paper's curve, by hand and at its extremes."""

import math

import pytest
import torch

from gan_cli.metrics.prd import curve_of_shares, k_means, precision_recall_curve


def test_equal_shares_reach_one_and_disjoint_ones_nothing() -> None:
    even = torch.full((4,), 0.25)
    assert curve_of_shares(even, even).f_score(8) == pytest.approx(1)
    apart = curve_of_shares(torch.tensor([1.0, 0]), torch.tensor([0, 1.0]))
    assert apart.precision.max() == apart.recall.max() == 0


def test_half_of_the_modes_is_half_of_the_recall() -> None:
    # Made {1}, real {1/2, 1/2}: min(s/2, 1) of precision and min(1/2, 1/s) of recall.
    curve = curve_of_shares(torch.tensor([1.0, 0]), torch.tensor([0.5, 0.5]))
    slopes = torch.linspace(1e-10, math.pi / 2 - 1e-10, 1001, dtype=torch.float64).tan()
    torch.testing.assert_close(curve.precision, (slopes / 2).clamp(max=1))
    torch.testing.assert_close(curve.recall, (1 / slopes).clamp(max=0.5))
    # Best at full precision, half recall: (1 + b^2) / 2 / (b^2 + 1/2)
    assert curve.f_score(8) == pytest.approx(65 / 2 / 64.5, rel=1e-3)
    assert curve.f_score(1 / 8) == pytest.approx((65 / 64) / 2 / (1 / 64 + 0.5), rel=1e-3)


def test_a_missing_mode_costs_recall_and_a_false_one_precision() -> None:
    random = torch.Generator().manual_seed(0)
    near, far = (torch.randn(200, 3, generator=random) / 10 + shift for shift in (0, 5))
    half = torch.randn(400, 3, generator=random) / 10
    both = torch.cat([near, far])
    lost = precision_recall_curve(half, both)
    assert lost.f_score(8) < 0.55 < 0.9 < lost.f_score(1 / 8)
    false = precision_recall_curve(both, half)
    assert false.f_score(1 / 8) < 0.55 < 0.9 < false.f_score(8)


def test_clusters_are_those_that_lie_apart() -> None:
    centres = torch.tensor([[0.0, 0], [9, 0], [0, 9]])
    random = torch.Generator().manual_seed(1)
    points = centres.repeat_interleave(50, 0) + torch.randn(150, 2, generator=random) / 10
    labels = k_means(points, 3, random).view(3, 50)
    assert (labels == labels[:, :1]).all()
    assert len(labels[:, 0].unique()) == 3
    same = k_means(torch.ones(30, 2), 4, random)
    assert len(same) == 30


def test_sets_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="must be alike"):
        precision_recall_curve(torch.zeros(30, 2), torch.zeros(31, 2))
