"""Players: their parameters, rates over time, and what is refused."""

import copy
import math

import pytest
import torch
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, Loss, Phase
from gan_cli.optimizers import substitute
from gan_cli.training.optimizers import PlayerOptimizer, fused, players_of


def player(**more) -> PlayerOptimizer:
    weight = nn.Parameter(torch.zeros(1))
    return PlayerOptimizer("g", torch.optim.SGD([weight], lr=0.1), [weight], 0.1, total=100, **more)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", {0: 0.1, 50: 0.1, 99: 0.1}),
        ("linear", {0: 0.1, 50: 0.05, 75: 0.025, 100: 0.0, 150: 0.0}),
        ("cosine", {0: 0.1, 50: 0.05, 25: 0.05 * (1 + math.sqrt(0.5)), 100: 0.0}),
    ],
)
def test_schedules(schedule: str, rates: dict[int, float]) -> None:
    for step, rate in rates.items():
        assert player(schedule=schedule).learning_rate(step) == pytest.approx(rate, abs=1e-12)


def test_a_schedule_is_as_long_as_the_run_unless_its_length_is_given() -> None:
    assert player(schedule="linear").to_the_end
    assert not player(schedule="linear", schedule_steps=50).to_the_end
    assert not player().to_the_end


def test_warm_up_rises_to_the_rate() -> None:
    warm = player(warmup=4)
    assert [warm.learning_rate(step) for step in range(6)] == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )


def test_the_optimizer_gets_the_rate() -> None:
    linear = player(schedule="linear")
    linear.set_rate(50)
    assert linear.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def loss(_batch: Batch) -> Loss:
    raise AssertionError("never called")


def test_phases_share_an_optimizer_only_over_the_same_parameters() -> None:
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    shared = [Phase("d", loss, (a,)), Phase("d_penalty", loss, (a,), optimizer="d")]
    assert list(players_of(shared)) == ["d"]
    with pytest.raises(ConfigError, match="phase r1: shares the optimizer d and trains other"):
        players_of([Phase("d", loss, (a,)), Phase("r1", loss, (a, b), optimizer="d")])


def test_a_module_named_twice_is_trained_once() -> None:
    a = nn.Linear(1, 1)
    assert len(players_of([Phase("d", loss, (a, nn.Sequential(a)))])["d"]) == 2


def test_fused_where_the_optimizer_can() -> None:
    cpu = torch.device("cpu")
    assert fused(torch.optim.Adam, cpu) == {"fused": True}
    assert fused(torch.optim.RMSprop, cpu) == {}
    assert fused(torch.optim.Adagrad, cpu) == {"fused": True}
    assert fused(torch.optim.Adagrad, torch.device("cuda")) == {}
    assert fused(torch.optim.Adam, cpu, ["lr", "foreach"]) == {}


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop])
def test_moments_are_laid_out_as_the_weights_are(kind: type) -> None:
    """Those of a device whose weights lie otherwise, as fused kernels read both as they lie."""
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2)

    def built(layout: torch.memory_format) -> PlayerOptimizer:
        weight = nn.Parameter(start.clone(memory_format=layout))
        made = substitute(kind)([weight], lr=0.1, **fused(kind, torch.device("cpu")))
        return PlayerOptimizer("g", made, [weight], 0.1)

    def step(one: PlayerOptimizer, gradient: torch.Tensor) -> None:
        (weight,) = one.parameters
        weight.grad = torch.empty_like(weight).copy_(gradient)
        one.optimizer.step()

    first, second = built(torch.contiguous_format), built(torch.channels_last)
    step(first, gradients[0])
    state = copy.deepcopy(first.optimizer.state_dict())
    (weight,) = second.parameters
    weight.data.copy_(first.parameters[0])
    second.load_state(state)
    for one in (first, second):
        step(one, gradients[1])
    torch.testing.assert_close(first.parameters[0].detach(), weight.detach())
    (moments,) = second.optimizer.state.values()
    assert all(m.stride() == weight.stride() for m in moments.values() if m.shape == weight.shape)


def built(kind: type, **settings) -> PlayerOptimizer:
    """An optimizer after its first update."""
    weight = nn.Parameter(torch.zeros(1))
    made = PlayerOptimizer("g", substitute(kind)([weight], lr=0.1, **settings), [weight], 0.1)
    weight.grad = torch.ones(1)
    made.optimizer.step()
    return made


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        (torch.optim.Adam, {"amsgrad": True}, r"optimizer.amsgrad = true: Adam .* max_exp_avg_sq"),
        (
            torch.optim.RMSprop,
            {"momentum": 0.5},
            r"optimizer.momentum = 0.5: RMSprop needs mom",
        ),
        (torch.optim.RMSprop, {"centered": True}, r"optimizer.centered = true: .* grad_avg, which"),
    ],
)
def test_moments_that_were_not_kept_are_missed_at_once(
    kind: type, settings: dict[str, object], reason: str
) -> None:
    state, changed = built(kind).optimizer.state_dict(), built(kind, **settings)
    with pytest.raises(ConfigError, match=f"^{reason}.*the run's g has not kept; leave it as"):
        changed.load_state(state)
    changed.load_state(changed.optimizer.state_dict())
    plain = built(torch.optim.SGD)
    built(torch.optim.SGD, momentum=0.9).load_state(plain.optimizer.state_dict())
    with pytest.raises(ConfigError, match=r"^optimizer = SGD: the run's g had another one; leave"):
        plain.load_state(state)
