"""Mutual information, on tables and codes whose information is known."""

from __future__ import annotations

import math

import pytest
import torch

from gan_cli.metrics.classes import (
    entropy,
    information_bound,
    mutual_information,
    normalised_mutual_information,
)


def test_entropy_of_shares() -> None:
    assert entropy(torch.tensor([2, 1, 1, 0])) == pytest.approx(1.5 * math.log(2))
    assert entropy(torch.tensor([[7]])) == 0


def test_labels_that_tell_each_other() -> None:
    table = torch.tensor([[0, 4], [4, 0]])
    assert mutual_information(table) == pytest.approx(math.log(2))
    assert normalised_mutual_information(table) == pytest.approx(1)


def test_labels_that_tell_nothing() -> None:
    table = torch.tensor([[3, 6], [1, 2], [4, 8]])
    assert mutual_information(table) == pytest.approx(0, abs=1e-12)
    assert normalised_mutual_information(table) == pytest.approx(0, abs=1e-12)


def test_the_norm_is_the_arithmetic_mean_of_both_entropies() -> None:
    # Four even clusters within two even classes: I = log 2, H = log 4 and log 2.
    table = torch.tensor([[5, 0], [5, 0], [0, 5], [0, 5]])
    assert mutual_information(table) == pytest.approx(math.log(2))
    assert normalised_mutual_information(table) == pytest.approx(2 / 3)
    # By hand: rows 3/4 and 1/4, columns 1/2 each, cells 1/2, 1/4, 0, 1/4.
    table = torch.tensor([[2, 1], [0, 1]])
    rows = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    told = rows + math.log(2) - 1.5 * math.log(2)
    assert mutual_information(table) == pytest.approx(told)
    norm = (rows + math.log(2)) / 2
    assert normalised_mutual_information(table) == pytest.approx(told / norm)


def test_single_labels() -> None:
    assert normalised_mutual_information(torch.tensor([[9]])) == 1
    assert normalised_mutual_information(torch.tensor([[4, 5]])) == 0


def test_nothing_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        mutual_information(torch.zeros(2, 2, dtype=torch.int64))


def test_the_bound_of_a_perfect_reader_is_the_codes_entropy() -> None:
    found = information_bound(torch.zeros(8), torch.full((8,), -math.log(10)))
    assert found.value == pytest.approx(math.log(10))
    assert found.error == pytest.approx(0, abs=1e-12)


def test_the_bound_and_its_error_by_hand() -> None:
    said = torch.tensor([0.5, 0.25]).log()
    found = information_bound(said, torch.full((2,), -math.log(4)))
    assert found.value == pytest.approx((math.log(2) + 0) / 2)
    assert found.error == pytest.approx(math.log(2) / 2)  # deviation log 2 / sqrt 2 of two
    assert information_bound(said[:1], said[1:]).error is None


def test_a_reader_that_knows_nothing_gains_nothing() -> None:
    even = torch.full((5,), -math.log(3))
    assert information_bound(even, even).value == 0
