"""The layers for AMX: the same function and gradients, taken only where they pay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from gan_cli.networks import layers
from gan_cli.networks.layers import ByProduct, Conv2d, ConvTranspose2d


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("size", [(4, 6), (5, 4)])
def test_the_convolutions_gradients_are_exact(size: tuple[int, int]) -> None:
    x, weight = tensors((2, 2, *size), (3, 2, 4, 4))
    torch.testing.assert_close(
        ByProduct.apply(x, weight, 2, 1, None), conv2d(x, weight, None, 2, 1)
    )
    assert gradcheck(lambda x, w: ByProduct.apply(x, w, 2, 1, None), (x, weight))
    assert gradgradcheck(lambda x, w: ByProduct.apply(x, w, 2, 1, None), (x, weight))


@pytest.mark.parametrize("odd", [(0, 0), (1, 0)])
def test_the_transposed_convolutions_gradients_are_exact(odd: tuple[int, int]) -> None:
    x, weight = tensors((2, 3, 2, 3), (3, 2, 4, 4))
    plain = conv_transpose2d(x, weight, None, 2, 1, odd)
    torch.testing.assert_close(ByProduct.apply(x, weight, 2, 1, odd), plain)
    assert gradcheck(lambda x, w: ByProduct.apply(x, w, 2, 1, odd), (x, weight))


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_a_layer_takes_this_way_in_bf16_with_amx_alone(
    kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "CHANNELS", 4)
    monkeypatch.setattr(layers, "has_amx", lambda: True)
    torch.manual_seed(0)
    layer = kind(4, 4, 4, 2, 1)
    plain = (nn.Conv2d if kind is Conv2d else nn.ConvTranspose2d)(4, 4, 4, 2, 1)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 4, 4)
    assert "ByProduct" not in str(layer(x).grad_fn)  # fp32
    with torch.autocast("cpu", torch.bfloat16):
        mine, theirs = layer(x), plain(x)
    assert mine.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(mine, theirs, rtol=0.02, atol=0.02)
    for output in (mine, theirs):
        output.float().square().sum().backward()
    for left, right in zip(layer.parameters(), plain.parameters(), strict=True):
        assert left.grad is not None
        torch.testing.assert_close(left.grad, right.grad, rtol=0.03, atol=0.3)
    called: list[bool] = []
    monkeypatch.setattr(ByProduct, "apply", lambda *_: called.append(True) or mine)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
        layer(torch.randn(2, 4, 32, 32))  # a large map
        layer.requires_grad_(False)
        layer(x)
    assert called == [True]
