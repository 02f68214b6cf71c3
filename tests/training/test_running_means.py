"""Scalars between two points of the curves."""

import torch

from gan_cli.model import Loss
from gan_cli.training.running_means import RunningMeans


def loss(total: float, **logs: float) -> Loss:
    return Loss(torch.tensor(total), {name: torch.tensor(value) for name, value in logs.items()})


def test_means_over_updates() -> None:
    window = RunningMeans()
    for value in (1.0, 2.0, 6.0):
        window.add("critic", loss(value, gap=10 * value))
    window.add("generator", loss(-1.0))
    assert window.means() == {"loss/critic": 3.0, "gap": 30.0, "loss/generator": -1.0}
    window.clear()
    assert window.means() == {}


def test_one_name_from_two_phases_is_weighted_by_updates() -> None:
    window = RunningMeans()
    window.add("d", loss(1.0, penalty=1.0))
    window.add("d", loss(1.0, penalty=1.0))
    window.add("d_lazy", loss(0.0, penalty=4.0))
    assert window.means()["penalty"] == 2.0


def test_a_value_that_is_not_finite_stays_so() -> None:
    window = RunningMeans()
    window.add("d", loss(1.0))
    window.add("d", loss(float("nan")))
    assert window.means()["loss/d"] != window.means()["loss/d"]


def test_state_goes_round() -> None:
    window, again = RunningMeans(), RunningMeans()
    window.add("d", loss(1 / 3, gap=0.1))
    again.load_state_dict(window.state_dict(), torch.device("cpu"))
    for each in (window, again):
        each.add("d", loss(0.7, gap=0.9))
    assert again.means() == window.means()


def test_sums_are_kept_in_double() -> None:
    window = RunningMeans()
    for _ in range(1000):
        window.add("d", loss(0.1))
    assert abs(window.means()["loss/d"] - float(torch.tensor(0.1))) < 1e-12
