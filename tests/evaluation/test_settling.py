"""Batch norm by the statistics of what a network looks at, for a while."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.evaluation.measures.infogan import settled


def made() -> nn.ModuleDict:
    """A network, and another one that nobody runs, after some training on other data."""
    torch.manual_seed(0)
    some = nn.ModuleDict({name: nn.Sequential(nn.BatchNorm1d(2)) for name in ("run", "rest")})
    for name in some:
        some[name](5 + torch.randn(8, 2))
    return some.eval()


def snapshot(model: nn.Module) -> list[object]:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
    flags = [(layer.training, layer.momentum, layer.track_running_stats) for layer in layers]
    return [*flags, *({n: b.tolist() for n, b in model.named_buffers()}).items()]


@pytest.mark.parametrize("tracks", [True, False], ids=["active", "frozen"])
def test_statistics_are_those_of_the_batches_and_then_as_before(tracks: bool) -> None:
    model, batches = made(), list((3 * torch.randn(40, 2)).split(8))
    layer, other = model["run"][0], model["rest"][0]  # type: ignore[index]
    layer.track_running_stats = tracks  # as in a phase that trains something else
    before = snapshot(model)
    x = torch.randn(3, 2)
    rest: Tensor = other(x)
    with settled(model, model["run"], batches):
        mean = torch.stack([some.mean(0) for some in batches]).mean(0)
        variance = torch.stack([some.var(0) for some in batches]).mean(0)
        torch.testing.assert_close(model["run"](x), (x - mean) / (variance + layer.eps).sqrt())
        assert torch.equal(other(x), rest)
        assert torch.equal(model["run"](x[:1]), model["run"](x)[:1])  # none depends on the others
    assert snapshot(model) == before


def test_all_is_as_before_whatever_breaks_off() -> None:
    model = made()
    before = snapshot(model)

    def stop(x: Tensor) -> None:
        model["run"](x)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), settled(model, stop, [torch.randn(4, 2)]):
        pytest.fail("it was broken off before")
    assert snapshot(model) == before
