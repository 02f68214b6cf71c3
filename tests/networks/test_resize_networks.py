"""Resize-convolution: the fused layer is the plain one, and the family fits any image."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from gan_cli.model import DataSpec
from gan_cli.networks.resize import ResizeNetworks, UpsampledConv2d


@pytest.mark.parametrize("size", [(6, 10), (7, 10), (6, 11)])
def test_it_is_nearest_upsampling_and_a_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = UpsampledConv2d(3, 2, size, bias=True).double()
    x = torch.randn(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)
    plain = conv2d(interpolate(x, size=size), layer.weight, layer.bias, padding=1)
    fused = layer(x)
    torch.testing.assert_close(fused, plain)
    weights = torch.randn_like(plain)
    assert layer.bias is not None
    inputs = (x, layer.weight, layer.bias)
    for left, right in zip(
        torch.autograd.grad((fused * weights).sum(), inputs),
        torch.autograd.grad((plain * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(left, right)


def test_where_it_doubles_nothing_is_upsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(1, 1, 3, 3)
    doubling, other = UpsampledConv2d(1, 1, (6, 6)), UpsampledConv2d(1, 1, (7, 6))
    monkeypatch.delattr("gan_cli.networks.resize.interpolate")
    assert doubling(x).shape == (1, 1, 6, 6)
    with pytest.raises(NameError):
        other(x)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 40)])
def test_samples_have_the_datas_shape(shape: tuple[int, ...]) -> None:
    generator = ResizeNetworks(width=4).generator(5, DataSpec("images", shape, 8))
    assert generator(torch.randn(2, 5)).shape == (2, *shape)
