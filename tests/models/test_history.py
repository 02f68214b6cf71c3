"""Historical averaging (Salimans et al. 2016, section 3.3)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_cli.model import Loss
from gan_cli.models.gan import History


def network(value: float) -> nn.Linear:
    linear = nn.Linear(1, 1)
    for parameter in linear.parameters():
        nn.init.constant_(parameter, value)
    return linear


def test_the_squared_distance_from_the_mean_of_the_past() -> None:
    line = network(1.0)
    history = History(line, weight=0.5)
    assert history(line).item() == 0
    for value in (3.0, 5.0):
        for parameter in line.parameters():
            nn.init.constant_(parameter, value)
        history.record(line)
    # Past 1, 3, 5, mean 3; two parameters at 5: .5 * (4 + 4).
    term = history(line)
    assert term.item() == pytest.approx(4.0)
    term.backward()
    assert line.weight.grad is not None
    assert line.weight.grad.item() == pytest.approx(0.5 * 2 * (5 - 3))


def test_its_state_goes_on() -> None:
    line = network(1.0)
    first, second = History(line, 1.0), History(network(9.0), 1.0)
    nn.init.constant_(line.weight, 2.0)
    first.record(line)
    second.load_state_dict(first.state_dict())
    assert list(second.parameters()) == []
    assert torch.equal(first(line), second(line))


def test_a_player_s_loss_with_the_term_shows_it() -> None:
    line = network(1.0)
    history = History(line, weight=0.5)
    nn.init.constant_(line.weight, 3.0)
    found = history.added(Loss(torch.tensor(1.0), {"a": torch.tensor(0.0)}), "generator", line)
    assert found.total.item() == pytest.approx(1 + 0.5 * 4)
    assert found.logs["historical_averaging/generator"].item() == pytest.approx(2.0)
    assert "a" in found.logs
