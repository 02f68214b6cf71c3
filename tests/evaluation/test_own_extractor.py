"""The user's own network as an extractor: what it is given, and what is refused."""

from __future__ import annotations

import importlib
import linecache
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_cli.config.instantiate import Trust
from gan_cli.errors import ConfigError
from gan_cli.evaluation.own_extractor import OwnExtractor, identity, own_extractor
from gan_cli.model import DataSpec

DATA = DataSpec("pictures", (1, 4, 4), 300)


class Net(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.norm(x).mean(2)


def test_it_is_given_images_from_minus_one_to_one_in_eval_mode() -> None:
    images = torch.randint(256, (5, 1, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    made = OwnExtractor(Net(), DATA, "cpu")
    found, logits = made.features(images)
    expected = (images / 127.5 - 1).mean(2).flatten(1) / (1 + 1e-5) ** 0.5  # no batch statistics
    torch.testing.assert_close(found, expected)
    assert (made.name, made.width, logits) == ("Net", 4, None)


def test_other_weights_are_another_network() -> None:
    first, same, other = (OwnExtractor(Net(scale), DATA, "cpu") for scale in (1.0, 1.0, 2.0))
    assert first.identity == same.identity != other.identity


class Losing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean()


class Strict(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), 3, -1)


@pytest.mark.parametrize(
    ("network", "reason"),
    [(Losing(), r"returns \[\], and features \[n, width\] are needed"), (Strict(), "shape")],
)
def test_one_that_returns_no_features_is_refused(network: nn.Module, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        OwnExtractor(network, DATA, "cpu")
    assert str(caught.value).startswith(f"evaluation.extractor = {type(network).__name__}: fails")


def test_only_trusted_networks_are_built() -> None:
    with pytest.raises(ConfigError, match="--trust"):
        own_extractor("some_net.Net", DATA, "cpu", Trust())
    with pytest.raises(ConfigError, match=r"must be a torch.nn.Module or an Extractor"):
        own_extractor("gan_cli.priors.Gaussian", DATA, "cpu", Trust())


def test_another_forward_is_another_network(tmp_path: Path, monkeypatch) -> None:
    """Features of the code as it was are not taken from the cache."""
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import torch\n\nclass Mean(torch.nn.Module):\n    def forward(self, x):\n"
    found = []
    for factor in (1, 10, 1):
        (tmp_path / "own_means.py").write_text(f"{source}        return {factor} * x.mean(2)\n")
        sys.modules.pop("own_means", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        found.append(identity(importlib.import_module("own_means").Mean()))
    sys.modules.pop("own_means")
    assert found[0] == found[2] != found[1]


def test_a_network_without_source_is_told(monkeypatch, caplog) -> None:
    monkeypatch.setattr(Net, "__module__", "builtins")
    assert len(identity(Net())) == 64
    assert "Net: its source cannot be read" in caplog.text
