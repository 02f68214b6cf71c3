"""SNGAN's and SAGAN's residual networks: the papers' parameters, attention's formula, any size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.resnet import DownBlock, ResNet, SelfAttention, UpBlock

CIFAR = DataSpec("images", (3, 32, 32), 8)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_papers_parameters() -> None:
    """Miyato et al. 2018, table 4, by hand: weights, biases and batch norm's two numbers."""
    width, narrow = 256, 128
    block = 2 * (9 * width**2 + width) + width**2 + width + 4 * width
    wanted = 129 * 16 * width + 3 * block + 2 * width + 27 * width + 3
    assert parameters(ResNet().generator(128, CIFAR)) == wanted
    first = 27 * narrow + narrow + 9 * narrow**2 + narrow + 3 * narrow + narrow
    same = 2 * (9 * narrow**2 + narrow)
    halving = same + narrow**2 + narrow
    assert parameters(ResNet().discriminator(CIFAR)) == first + halving + 2 * same + narrow


def test_the_generator_s_block() -> None:
    """The shortcut's convolution before the upsampling is that after it."""
    torch.manual_seed(0)
    block, x = UpBlock(4, (6, 6), "batch").eval(), torch.randn(2, 4, 3, 3)
    found = interpolate(relu(block.norms[0](x)), size=(6, 6))
    found = nn.functional.conv2d(found, block.up.weight, block.up.bias, padding=1)
    found = block.same(relu(block.norms[1](found)))
    expected = found + block.shortcut(interpolate(x, size=(6, 6)))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("first", [True, False])
def test_the_discriminator_s_block(first: bool) -> None:
    torch.manual_seed(0)
    block, x = DownBlock(3, 4, "none", first=first), torch.randn(2, 3, 6, 6)
    found = block.two(relu(block.one(x if first else relu(x))))
    expected = avg_pool2d(found, 2) + avg_pool2d(block.shortcut(x), 2)
    torch.testing.assert_close(block(x), expected)


class TestSelfAttention:
    def test_the_papers_formula(self) -> None:
        """Zhang et al. 2019, Eqs. 1 to 3, place by place."""
        torch.manual_seed(0)
        layer, x = SelfAttention(16), torch.randn(1, 16, 2, 3)
        layer.gamma.data.fill_(0.7)
        f, g, h, v = (m.weight[:, :, 0, 0] for m in (layer.f, layer.g, layer.h, layer.v))
        assert f.shape == g.shape == h.shape == (2, 16)
        places = x[0].flatten(1).T
        for j, x_j in enumerate(places):
            s = [((f @ x_i) @ (g @ x_j)).item() for x_i in places]
            beta = [math.exp(s_ij) / sum(map(math.exp, s)) for s_ij in s]
            o = v @ sum(b * (h @ x_i) for b, x_i in zip(beta, places, strict=True))
            torch.testing.assert_close(layer(x)[0].flatten(1)[:, j], 0.7 * o + x_j)

    def test_it_begins_as_the_identity(self) -> None:
        x = torch.randn(2, 8, 3, 3)
        assert torch.equal(SelfAttention(8)(x), x)

    @pytest.mark.parametrize("level", [1, 2])
    def test_both_networks_attend_to_maps_of_that_size(self, level: int) -> None:
        seen: list[torch.Size] = []
        family = ResNet(width=8, discriminator_width=8, attention=level)
        networks = family.generator(4, CIFAR), family.discriminator(CIFAR)
        for network in networks:
            for module in network.modules():
                if isinstance(module, SelfAttention):
                    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        networks[1](networks[0](torch.randn(2, 4)))
        assert seen == [(2, 8, 32 >> level, 32 >> level)] * 2

    def test_a_map_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"network\.attention = 3: must be at most 2"):
            ResNet(attention=3).generator(4, CIFAR)


def test_spectral_norm_in_one_network_or_both() -> None:
    for both in (False, True):
        family = ResNet(width=8, discriminator_width=8, generator_spectral_norm=both)
        names = dict(family.generator(4, CIFAR).named_parameters())
        assert any("parametrizations" in name for name in names) == both
        names = dict(family.discriminator(CIFAR).named_parameters())
        assert any("parametrizations" in name for name in names)
    assert family.lipschitz


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 40), (1, 13, 13)])
def test_any_size(shape: tuple[int, ...]) -> None:
    data, family = DataSpec("images", shape, 8), ResNet(width=8, discriminator_width=None)
    x = family.generator(5, data)(torch.randn(2, 5))
    assert x.shape == (2, *shape)
    assert family.discriminator(data)(x).shape == (2,)
