"""Averages of weights against the formula."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.ema import Average, entries, is_vector, load_averages
from gan_cli.model import Model, Phase
from gan_cli.networks.layers import normalise_spectrum


class Tiny(Model):
    """One network that decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.other = nn.Linear(2, 2)

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 3)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)


def test_entries_are_the_floating_point_weights_and_buffers() -> None:
    assert set(entries(Tiny().averaged())) == {
        "0.0.weight",
        "0.0.bias",
        "0.1.weight",
        "0.1.bias",
        "0.1.running_mean",
        "0.1.running_var",
    }


def test_update_with_warm_up() -> None:
    model = Tiny()
    weight = model.get_parameter("generator.0.weight")
    average = Average(model, 0.5)
    expected = weight.detach().clone()
    for step in range(1, 20):
        with torch.no_grad():
            weight.normal_()
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.values["0.0.weight"], expected)


def test_applied_swaps_and_swaps_back() -> None:
    model = Tiny()
    average = Average(model, 0.9)
    raw = {name: value.detach().clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for value in average.values.values():
            value.add_(1)
    with average.applied():
        torch.testing.assert_close(
            model.get_parameter("generator.0.weight"), raw["generator.0.weight"] + 1
        )
        torch.testing.assert_close(
            model.get_buffer("generator.1.running_mean"), raw["generator.1.running_mean"] + 1
        )
        assert torch.equal(model.other.weight, raw["other.weight"])
    for name, value in model.state_dict().items():
        assert torch.equal(value, raw[name])


def test_the_swap_survives_an_error() -> None:
    model = Tiny()
    average = Average(model, 0.9)
    before = model.get_parameter("generator.0.weight").detach().clone()
    average.values["0.0.weight"].fill_(7)
    try:
        with average.applied():
            raise RuntimeError
    except RuntimeError:
        pass
    assert torch.equal(model.get_parameter("generator.0.weight"), before)


def test_state_goes_round() -> None:
    model, other = Tiny(), Tiny()
    average = Average(model, 0.9)
    state = {name: value + 2 for name, value in average.state_dict().items()}
    again = Average(other, 0.9)
    again.load_state_dict(state)
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name])
    load_averages(other, state)
    assert torch.equal(other.get_parameter("generator.0.weight"), state["0.0.weight"])


def test_decay_0_keeps_nothing() -> None:
    model = Tiny()
    average = Average(model, 0.0)
    average.update(1)
    assert average.state_dict() == {}
    before = model.get_parameter("generator.0.weight").detach().clone()
    with average.applied():
        assert torch.equal(model.get_parameter("generator.0.weight"), before)


class Spectral(Tiny):
    """A network with spectral norm whose weights move far, as in a long training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
        normalise_spectrum(self.generator)

    def move(self, average: Average, steps: int = 40) -> None:
        generator = torch.Generator().manual_seed(1)
        for step in range(steps):
            layers: Any = self.generator
            for layer in (layers[0], layers[2]):
                weight = layer.parametrizations.weight.original
                weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
            self.generator.train()(torch.ones(1, 6))  # a power iteration
            average.update(step)


def norms(model: Spectral) -> list[float]:
    layers = (model.generator.eval()[0], model.generator[2])
    return [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in layers]


def test_averaged_weights_have_spectral_norm_1_as_well() -> None:
    model = Spectral()
    average = Average(model, decay=0.9)
    model.move(average)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = {name: value.clone() for name, value in average.state_dict().items()}
    with average.applied():
        assert norms(model) == pytest.approx([1, 1], abs=1e-3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(kept[name], value) for name, value in average.state_dict().items())
    fresh = Spectral()
    load_averages(fresh, average.state_dict())
    assert norms(fresh) == pytest.approx([1, 1], abs=1e-3)


def test_averages_of_singular_vectors_in_older_checkpoints_are_fitted_too() -> None:
    model = Spectral()
    average = Average(model, decay=0.9)
    model.move(average)
    state = {
        name: 0.8 * value if is_vector(name) else value
        for name, value in average.state_dict().items()
    }
    load_averages(model, state)
    assert norms(model) == pytest.approx([1, 1], abs=1e-3)
