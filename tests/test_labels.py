"""Classes for samples: a fixed sequence in the data's shares, and independent draws."""

from __future__ import annotations

import pytest
import torch

from gan_cli.labels import drawn, in_shares, upper_ends

UNEVEN = (500, 50, 0, 449, 1)


@pytest.mark.parametrize("counts", [UNEVEN, (3,), (1, 2), (7, 7, 1000)])
def test_every_stretch_from_the_first_on_has_each_class_in_its_share(
    counts: tuple[int, ...],
) -> None:
    labels = in_shares(counts, 0, 3000)
    shares = torch.tensor(counts).double() / sum(counts)
    so_far = torch.nn.functional.one_hot(labels, len(counts)).cumsum(0)
    wanted = torch.arange(1, 3001)[:, None] * shares
    assert (so_far - wanted).abs().max() < len(counts)
    assert (so_far[-1] - 3000 * shares).abs().max() <= 1
    assert not so_far[:, shares == 0].any()


def test_equal_classes_take_turns() -> None:
    assert torch.equal(in_shares((60, 60, 60), 0, 100), torch.arange(100) % 3)


def test_a_class_depends_on_its_place_alone() -> None:
    whole = in_shares(UNEVEN, 0, 1000)
    pieces = [in_shares(UNEVEN, first, 50) for first in range(0, 1000, 50)]
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(in_shares(UNEVEN, 0, 70), whole[:70])


def test_draws_have_the_shares_within_four_standard_errors() -> None:
    torch.manual_seed(0)
    n = 100_000
    found = drawn(upper_ends(UNEVEN), n).bincount(minlength=5).double() / n
    shares = torch.tensor(UNEVEN).double() / sum(UNEVEN)
    assert ((found - shares).abs() <= 4 * (shares * (1 - shares) / n).sqrt()).all()


def test_draws_of_a_single_class_are_of_it() -> None:
    assert not drawn(upper_ends((9,)), 5).any()
