"""What is drawn under several ranks is, side by side, what one process draws."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal
from torch.nn.functional import dropout, dropout2d, gumbel_softmax

from gan_cli.distributed.random import SharedDraws
from gan_cli.errors import ConfigError

RANKS, OWN = 3, 4
ALL = RANKS * OWN


def image(n: int) -> Tensor:
    return torch.zeros(n, 3, 5, 5).to(memory_format=torch.channels_last)


DRAWS: dict[str, Callable[[int], Tensor]] = {
    "randn": lambda n: torch.randn(n, 7),
    "randn of one size": lambda n: torch.randn(n),
    "randn by name": lambda n: torch.randn(size=(n, 7)),
    "rand of a tuple": lambda n: torch.rand((n, 1, 1)),
    "randint up to": lambda n: torch.randint(10, (n,)),
    "randint between": lambda n: torch.randint(-3, 4, (n, 1)),
    "rand_like": lambda n: torch.rand_like(torch.zeros(n, 2)),
    "randn_like of channels last": lambda n: torch.randn_like(image(n)),
    "randint_like": lambda n: torch.randint_like(torch.zeros(n, 2), 9),
    "normal_": lambda n: torch.empty(n, 5).normal_(1, 2),
    "bernoulli_ by row": lambda n: torch.empty(n, 5).bernoulli_(torch.full((n, 5), 0.3)),
    "normal": lambda n: torch.normal(torch.zeros(n, 2), torch.ones(n, 2)),
    "normal of a size": lambda n: torch.normal(0.0, 1.0, (n, 2)),
    "bernoulli": lambda n: torch.bernoulli(torch.full((n, 5), 0.5)),
    "dropout": lambda n: dropout(torch.ones(n, 50), 0.5, training=True),
    "dropout in place": lambda n: dropout(torch.ones(n, 50), 0.5, True, True),
    "a distribution": lambda n: Normal(torch.zeros(n, 2), 1.0).rsample(),
    "categories": lambda n: Categorical(torch.ones(n, 6)).sample(),
    "two in a row": lambda n: torch.cat([torch.randn(n, 2), torch.rand(n, 3)], 1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_parts_of_all_ranks_are_one_draw(name: str) -> None:
    torch.manual_seed(5)
    whole, parts = DRAWS[name](ALL), []
    following = torch.rand(3)
    for rank in range(RANKS):
        torch.manual_seed(5)
        with SharedDraws(rank, RANKS, frozenset((OWN,))):
            parts.append(DRAWS[name](OWN))
        assert torch.equal(torch.rand(3), following)
    assert torch.equal(torch.cat(parts), whole)
    assert parts[0].stride() == whole.stride()


def test_what_is_drawn_for_the_whole_batch_is_the_same_on_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drawn = []
    for rank in range(2):
        torch.manual_seed(5)
        with SharedDraws(rank, 2, frozenset((OWN,))), caplog.at_level(logging.WARNING):
            drawn.append(torch.cat([torch.randn(()).view(1), torch.rand(1), torch.rand(9)]))
    assert torch.equal(drawn[0], drawn[1])
    assert (
        "torch's rand draws 9 numbers in a step, the same for all parts of a batch" in caplog.text
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.randperm(OWN),
        lambda: torch.poisson(torch.ones(OWN)),
        lambda: gumbel_softmax(torch.ones(OWN, 3)),
        lambda: dropout2d(torch.ones(OWN, 3, 2, 2)),
    ],
)
def test_what_cannot_be_shared_is_refused(draw: Callable[[], Tensor]) -> None:
    with SharedDraws(0, 2, frozenset((OWN,))), pytest.raises(ConfigError, match="parts of a batch"):
        draw()


def test_dropout_that_drops_nothing_is_left_alone() -> None:
    with SharedDraws(1, 2, frozenset((OWN,))):
        assert torch.equal(dropout(torch.ones(OWN), 0.5, training=False), torch.ones(OWN))
        maps = torch.ones(OWN, 3, 2, 2)
        assert torch.equal(dropout2d(maps, 0.5, training=False), maps)


def test_dropout_is_differentiated_for_the_own_rows() -> None:
    x = torch.ones(OWN, 50, requires_grad=True)
    with SharedDraws(1, 2, frozenset((OWN,))):
        y = dropout(x, 0.5, training=True)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())
