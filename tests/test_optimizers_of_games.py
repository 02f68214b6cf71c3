"""Optimizers for games."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from playing import check_that_resuming_is_exact

from gan_cli.optimizers import OptimisticAdam


def test_its_steps_by_hand() -> None:
    """Daskalakis et al. 2018, Algorithm 1, beside torch's Adam, whose directions it combines."""
    torch.manual_seed(0)
    gradients = torch.randn(5, 3).double()
    own = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    other = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimistic = OptimisticAdam([own], lr=0.1, betas=(0.5, 0.9))
    adam = torch.optim.Adam([other], lr=0.1, betas=(0.5, 0.9))
    directions = [torch.zeros(3).double()]
    expected = torch.zeros(3).double()
    for gradient in gradients:
        own.grad, other.grad = gradient.clone(), gradient.clone()
        before = other.detach().clone()
        adam.step()
        optimistic.step()
        directions.append((before - other.detach()) / 0.1)
        expected = expected - 0.1 * (2 * directions[-1] - directions[-2])
        torch.testing.assert_close(own.detach(), expected)


def test_it_converges_where_adam_circles() -> None:
    """min over x, max over y of x y, both players at once."""

    def far(kind: type) -> float:
        x, y = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
        players = [kind([parameter], lr=0.03, betas=(0.0, 0.999)) for parameter in (x, y)]
        for _ in range(3000):
            x.grad, y.grad = y.detach().clone(), -x.detach().clone()
            for player in players:
                player.step()
        return (x.square() + y.square()).sqrt().item()

    assert far(OptimisticAdam) < 1e-3
    assert far(torch.optim.Adam) > 1


def test_it_resumes_exactly() -> None:
    check_that_resuming_is_exact(5, "model=gan", "data.split=test", "optimizer=optimistic_adam")


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="out of range"):
        OptimisticAdam([torch.zeros(1, requires_grad=True)], betas=(1.0, 0.9))
    session = session_of("model=gan", "data.split=test", "optimizer=optimistic_adam")
    assert isinstance(session.players["generator"].optimizer, OptimisticAdam)
