"""Matching of clusters and classes, on tables that can be checked by hand."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from gan_cli.metrics.classes import best_matching, contingency


def test_a_table_counts_pairs() -> None:
    clusters, classes = torch.tensor([0, 0, 2, 2, 1]), torch.tensor([1, 1, 0, 1, 0])
    assert contingency(clusters, classes, (3, 2)).tolist() == [[0, 2], [1, 0], [1, 1]]


def test_the_best_naming_is_not_the_greedy_one() -> None:
    # Taking the 10 first leaves 0, in all 10; the best is 9 + 9.
    found = best_matching(torch.tensor([[10, 9], [9, 0]]))
    assert found.names == [1, 0]
    assert found.accuracy == 18 / 28


def test_renamed_classes_are_matched_perfectly() -> None:
    table = torch.diag(torch.tensor([3, 5, 7]))[[2, 0, 1]]
    assert best_matching(table) == (1.0, [2, 0, 1])


def test_what_finds_no_partner_is_wrong() -> None:
    more_clusters = best_matching(torch.tensor([[5, 0], [4, 0], [0, 3]]))
    assert more_clusters.names == [0, -1, 1]
    assert more_clusters.accuracy == 8 / 12
    assert best_matching(torch.tensor([[5, 4]])).accuracy == 5 / 9


def test_it_is_the_best_of_all_namings() -> None:
    table = torch.randint(0, 50, (5, 5), generator=torch.Generator().manual_seed(0))
    best = max(sum(int(table[i, j]) for i, j in enumerate(p)) for p in permutations(range(5)))
    assert best_matching(table).accuracy == pytest.approx(best / int(table.sum()))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        best_matching(torch.zeros(2, 2, dtype=torch.int64))
