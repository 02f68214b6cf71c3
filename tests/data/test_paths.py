"""Paths across a grid: the rule, and the likelihood of each pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_cli.data.paths import Paths, images_of, ways_to
from gan_cli.errors import ConfigError

EVERY = torch.arange(5000)


@pytest.fixture(scope="module")
def paths() -> Paths:
    return Paths("test", side=8, ends=2)


def drawing(*lines: str) -> Tensor:
    """A picture of dots and hashes, [1, 1, side, side] in {-1, 1}."""
    return torch.tensor([[[[1.0 if c == "#" else -1.0 for c in line] for line in lines]]])


def test_every_path_obeys_the_rule_and_has_the_ends_of_its_class(paths: Paths) -> None:
    assert paths.spec.shape == paths.spec.source == (1, 8, 8)
    assert paths.spec.class_names == ("2-2", "2-6", "6-2", "6-6")
    assert paths.valid(paths.real(EVERY), paths.labels(EVERY)).all()


def test_inputs_are_the_ends(paths: Paths) -> None:
    index = EVERY[:50]
    ends, labels = paths.source(index), paths.labels(index)
    assert labels is not None
    first, last = paths.ends_of(labels)
    assert ((ends > 0).sum((1, 2, 3)) == 2).all()
    assert (ends[torch.arange(50), 0, first, 0] == 1).all()
    assert (ends[torch.arange(50), 0, last, 7] == 1).all()


def test_how_many_paths_are_there() -> None:
    """Of two steps from the middle row 1, 2, 3, 2 and 1; from the uppermost 2, 2 and 1."""
    assert ways_to(5)[2][2].tolist() == [1, 2, 3, 2, 1]
    assert ways_to(5)[2][0].tolist() == [2, 2, 1, 0, 0]


def test_all_paths_between_two_ends_are_equally_likely() -> None:
    paths = Paths("train", side=4, ends=1)  # from row 2 to row 2
    every = torch.arange(20_000)
    counts = (paths.real(every) > 0).flatten(1).unique(dim=0, return_counts=True)[1]
    assert len(counts) == ways_to(4)[3][2, 2] == 7
    expected = 20_000 / 7  # of which each count is off by 5 standard errors at most
    assert (counts - expected).abs().max() < 5 * (expected * 6 / 7) ** 0.5


def test_the_probability_of_each_pixel(paths: Paths) -> None:
    labels = paths.labels(EVERY)
    assert labels is not None
    marginals, real = paths.marginals(torch.arange(4)), paths.real(EVERY) > 0
    torch.testing.assert_close(marginals.sum(2), torch.ones(4, 1, 8, dtype=torch.float64))
    for y in range(4):
        mean = real[labels == y].double().mean(0)
        error = 5 * (marginals[y] * (1 - marginals[y]) / (labels == y).sum()).sqrt()
        assert ((mean - marginals[y]).abs() <= error + 1e-9).all()


def test_independent_outputs_average_and_so_are_never_a_path() -> None:
    paths = Paths("test")
    likeliest = paths.marginals(torch.arange(16)) * 2 - 1
    assert not paths.valid(likeliest).any()
    torch.manual_seed(0)
    drawn = torch.bernoulli(likeliest.expand(-1, 1, -1, -1).add(1).div(2).repeat(50, 1, 1, 1))
    assert paths.valid(drawn * 2 - 1).double().mean() < 0.01


@pytest.mark.parametrize(
    ("picture", "valid"),
    [
        (drawing("....", ".#..", "#.##", "...."), True),
        (drawing("....", ".#..", "#..#", "...."), False),  # a gap
        (drawing("...#", ".##.", "#...", "...."), True),
        (drawing(".#..", "..#.", "#..#", "...."), False),  # a step of two rows
        (drawing("....", ".##.", "#.##", "...."), False),  # two pixels in a column
    ],
)
def test_the_rule(picture: Tensor, valid: bool) -> None:
    assert Paths("test", side=4, ends=4).valid(picture).item() == valid


def test_a_path_to_other_ends_is_not_valid() -> None:
    paths = Paths("test", side=4, ends=4)
    x = drawing("....", ".#..", "#.##", "....")
    found = [paths.valid(x, torch.tensor([y])).item() for y in range(16)]
    assert [y for y in range(16) if found[y]] == [2 * 4 + 2]


def test_splits_differ_and_seeds_do_not_matter() -> None:
    torch.manual_seed(1)
    one = Paths("test", side=8)
    torch.manual_seed(2)
    other, train = Paths("test", side=8), Paths("train", side=8)
    assert one.fingerprint == other.fingerprint
    assert not torch.equal(train.values[:5000], one.values)
    assert Paths("all", side=8).spec.size == 25_000


def test_images_of_rows() -> None:
    found = images_of(torch.tensor([[1, 0]]))
    assert found.tolist() == [[[[0, 255], [255, 0]]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 3}, "data.side = 3: a number from 4 to 256 is needed"),
        ({"side": 8, "ends": 9}, "data.ends = 9: a number from 1 to data.side is needed"),
        ({"split": "half"}, "data.split = half: train, test or all is needed"),
    ],
)
def test_what_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Paths(**settings)
