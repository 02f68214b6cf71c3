"""Optimizers without the compiler's wrappers are torch's in all else."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.optimizers import substitute, without_dynamo

KINDS = [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD]


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(n, 3, generator=generator)) for n in (2, 5)]


def trained(optimizer: torch.optim.Optimizer, steps: int = 3) -> list[Tensor]:
    parameters = optimizer.param_groups[0]["params"]
    for step in range(steps):
        optimizer.zero_grad()
        torch.stack([((p - step) ** 3).sum() for p in parameters]).sum().backward()
        optimizer.step()
    return [p.detach().clone() for p in parameters]


@pytest.mark.parametrize("kind", KINDS)
def test_updates_are_the_same_bit_for_bit(kind: type) -> None:
    mine = without_dynamo(kind)(weights(), lr=0.01)
    assert isinstance(mine, kind)
    assert type(mine).__name__ == kind.__name__
    theirs = kind(weights(), lr=0.01)
    for a, b in zip(trained(mine), trained(theirs), strict=True):
        assert torch.equal(a, b)


def test_states_interchange_both_ways() -> None:
    mine = without_dynamo(torch.optim.Adam)(weights(), lr=0.01)
    theirs = torch.optim.Adam(weights(), lr=0.01)
    trained(mine)
    theirs.load_state_dict(deepcopy(mine.state_dict()))
    back = without_dynamo(torch.optim.Adam)(weights(), lr=0.5)
    back.load_state_dict(deepcopy(theirs.state_dict()))
    for a, b in zip(trained(back), trained(theirs), strict=True):
        assert torch.equal(a, b)


def test_hooks_are_called_and_a_step_builds_no_graph() -> None:
    optimizer = without_dynamo(torch.optim.Adam)(weights(), lr=0.01)
    seen: list[bool] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    trained(optimizer, steps=2)
    assert seen == [True, True]
    assert all(p.grad_fn is None for p in optimizer.param_groups[0]["params"])
    assert torch.is_grad_enabled()


def test_torch_and_the_optimizers_of_others_stay_as_they_are() -> None:
    class Mine(torch.optim.SGD):
        pass

    before = dict(vars(torch.optim.Adagrad)), dict(vars(torch.optim.Optimizer))
    without_dynamo(torch.optim.Adagrad)(weights())
    assert (dict(vars(torch.optim.Adagrad)), dict(vars(torch.optim.Optimizer))) == before
    assert without_dynamo(Mine) is Mine


@pytest.mark.parametrize(
    ("settings", "exact"),
    [
        ({}, False),
        ({"alpha": 0.9, "eps": 1e-3}, False),
        ({"momentum": 0.9}, True),
        ({"centered": True}, True),
        ({"weight_decay": 0.1}, True),
        ({"maximize": True}, True),
        ({"alpha": 1.0}, True),  # the fused kernel would divide by zero
    ],
)
def test_rmsprop_in_one_kernel_is_torchs(settings: dict[str, Any], exact: bool) -> None:
    """Up to rounding, with the same state; what the kernel cannot compute is torch's own."""
    mine = substitute(torch.optim.RMSprop)(weights(), lr=0.01, **settings)
    theirs = torch.optim.RMSprop(weights(), lr=0.01, **settings)
    before = weights()
    for a, b, start in zip(trained(mine), trained(theirs), before, strict=True):
        rounding = 0.0 if exact else 1e-6
        torch.testing.assert_close(a, b, rtol=rounding, atol=rounding, equal_nan=True)
        assert not torch.equal(a, start)
    states = mine.state_dict(), theirs.state_dict()
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for a, b in zip(states[0]["state"].values(), states[1]["state"].values(), strict=True):
        assert a.keys() == b.keys()
        for name, value in b.items():
            torch.testing.assert_close(a[name], value, rtol=1e-5, atol=1e-7, equal_nan=True)
    theirs.load_state_dict(deepcopy(mine.state_dict()))
    mine.load_state_dict(deepcopy(states[1]))


def test_rmsprop_leaves_gradients_and_weights_without_one_alone() -> None:
    one, other = weights()
    optimizer = substitute(torch.optim.RMSprop)([one, other], lr=0.01)
    one.grad = torch.full_like(one, 0.3)
    kept = other.detach().clone()
    optimizer.step()
    assert torch.equal(one.grad, torch.full_like(one, 0.3))
    assert torch.equal(other, kept)
    assert list(optimizer.state) == [one]
