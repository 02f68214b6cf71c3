"""Intervals and rank tests, against hand-computed numbers and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from gan_cli.reporting.statistics import (
    holm,
    interval,
    least_rank_sum,
    rank_sum,
    seeds_needed,
    signed_rank,
)


def test_the_interval_of_three_values_by_hand() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2
    # deviation 1, t of 2 degrees of freedom 4.302653: 4.302653 / sqrt(3)
    assert (low, high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_one_value_has_no_interval() -> None:
    assert interval([5.0]) == (5.0, None, None)


def test_three_against_three_can_reach_a_tenth_and_no_less() -> None:
    assert rank_sum([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert rank_sum([4, 5, 6], [1, 2, 3]) == pytest.approx(0.1)
    assert least_rank_sum(3, 3) == pytest.approx(0.1)


def test_the_rank_sum_test_is_scipys_where_there_are_no_ties() -> None:
    stream = np.random.default_rng(0)
    for n, m in ((2, 3), (4, 4), (5, 9), (12, 3)):
        a, b = stream.normal(size=n), stream.normal(0.7, size=m)
        exact = scipy.stats.mannwhitneyu(a, b, method="exact").pvalue
        assert rank_sum(a.tolist(), b.tolist()) == pytest.approx(exact)


def test_the_rank_sum_test_with_ties_counts_all_ways() -> None:
    a, b = [1.0, 2.0, 2.0], [2.0, 3.0, 3.0, 5.0]
    ranks = scipy.stats.rankdata([*a, *b])
    sums = [sum(some) for some in itertools.combinations(ranks, 3)]
    far = abs(sum(ranks[:3]) - 12)
    share = np.mean([abs(s - 12) >= far for s in sums])  # 12 = 3 * (7 + 1) / 2
    assert rank_sum(a, b) == pytest.approx(share)


def test_values_that_are_all_alike_tell_nothing() -> None:
    assert rank_sum([1, 1], [1, 1, 1]) == 1
    assert signed_rank([0.0, 0.0]) == 1


def test_the_signed_rank_test_is_scipys() -> None:
    stream = np.random.default_rng(1)
    for n in (3, 6, 12):
        values = stream.normal(0.5, size=n)
        exact = scipy.stats.wilcoxon(values, method="exact")[1]
        assert signed_rank(values.tolist()) == pytest.approx(exact)


@pytest.mark.parametrize("shift", [0.0, 0.4, 9.0])
def test_of_many_values_the_tests_are_the_normal_ones_with_ties(shift: float) -> None:
    stream = np.random.default_rng(2)
    a, b = stream.normal(size=120).round(1), stream.normal(shift, size=600).round(1)
    theirs = scipy.stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert rank_sum(a.tolist(), b.tolist()) == pytest.approx(theirs)
    assert rank_sum(b.tolist(), a.tolist()) == pytest.approx(theirs)
    theirs = scipy.stats.wilcoxon(b[b != 0], method="asymptotic", correction=True)[1]
    assert signed_rank(b.tolist()) == pytest.approx(theirs)
    assert signed_rank([0.1] * 1100 + [-0.1] * 1100) == 1
    assert rank_sum([1.0] * 100, [1.0] * 100) == 1


def test_signed_ranks_of_ties_by_hand() -> None:
    # Ranks 1.5, 1.5, 3; of the 8 signs only all plus and all minus are as far from 3 as 6 is.
    assert signed_rank([1.0, 1.0, 2.0]) == pytest.approx(2 / 8)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 4), (3, 5), (28, 7)])
def test_the_seeds_that_would_do(comparisons: int, seeds: int) -> None:
    assert seeds_needed(comparisons) == seeds
    assert comparisons * least_rank_sum(seeds, seeds) < 0.05
    assert comparisons * least_rank_sum(seeds - 1, seeds - 1) >= 0.05
