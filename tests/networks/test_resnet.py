"""SNGAN's and SAGAN's residual networks: the papers' parameters, attention's formula, any size."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gan_cli.config.settings import settings_of
from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.layers import ConditionalBatchNorm
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


def table(name: str, side: int, classes: int = 0, **more: object) -> tuple[int, int]:
    """Parameters of both networks of conf/network/NAME.yaml for colour images."""
    options = dict(settings_of(f"network={name}").network)
    del options["_target_"]
    family, data = ResNet(**{**options, **more}), DataSpec("images", (3, side, side), 8, classes)
    return (
        parameters(family.generator(128, data, classes)),
        parameters(family.discriminator(data, classes)),
    )


def convolution(before: int, after: int, side: int = 3, bias: bool = True) -> int:
    return side * side * before * after + bias * after


def up(before: int, after: int, inner: bool = True, classes: int = 1) -> int:
    norms = 2 * classes * (before + after)
    convolutions = convolution(before, after, bias=inner) + convolution(after, after)
    return norms + convolutions + convolution(before, after, 1)


def down(before: int, after: int, inner: bool = True, normed: bool = False) -> int:
    convolutions = convolution(before, before, bias=inner) + convolution(before, after)
    return normed * 4 * before + convolutions + convolution(before, after, 1)


def opening(width: int) -> int:
    return convolution(3, width) + convolution(width, width) + convolution(3, width, 1)


def closing(width: int) -> int:
    return 2 * width + convolution(width, 3)


SNGAN = [  # the authors' code, gen_models/ and dis_models/: network, side, G's and D's channels
    ("sngan_48", 48, [512, 256, 128, 64], [64, 128, 256, 512, 1024]),
    ("resnet", 64, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024]),
    ("sngan_128", 128, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024]),
]


@pytest.mark.parametrize(("name", "side", "generator", "discriminator"), SNGAN)
@pytest.mark.parametrize("classes", [0, 10])
def test_sngan_s_parameters_at_other_sizes(
    name: str, side: int, generator: list[int], discriminator: list[int], classes: int
) -> None:
    """Miyato and Koyama 2018: conditional batch norm in blocks, not before the image."""
    coarsest = 6 if side == 48 else 4
    wanted = 129 * coarsest**2 * generator[0] + closing(64)
    wanted += sum(up(*pair, classes=classes or 1) for pair in pairwise(generator))
    theirs = opening(64) + sum(down(*pair) for pair in pairwise(discriminator)) + 1025
    if name == "sngan_128":  # a block that keeps map and channels, without a shortcut's weights
        theirs += 2 * convolution(1024, 1024)
    theirs += 1024 * classes
    found = table(name, side, classes, generator_conditioning="batch_norm")
    assert found == (wanted, theirs)


def test_wgan_gp_s_parameters() -> None:
    """Gulrajani et al.'s code, by hand: gan_cifar_resnet.py, and gan_64x64.py's `Good...`."""
    small = 129 * 16 * 128 + 3 * up(128, 128) + closing(128)
    halving = down(128, 128)
    keeping = 2 * convolution(128, 128)
    assert table("wgan_gp_resnet_32", 32) == (small, opening(128) + halving + 2 * keeping + 129)
    channels = [512, 512, 256, 128, 64]
    generator = 129 * 16 * 512 + closing(64)
    generator += sum(up(*pair, inner=False) for pair in pairwise(channels))
    discriminator = convolution(3, 64) + 16 * 512 + 1
    discriminator += sum(
        down(*pair, inner=False, normed=True) for pair in pairwise([64, 128, 256, 512, 512])
    )
    assert table("wgan_gp_resnet_64", 64) == (generator, discriminator)


def test_conditional_batch_norm() -> None:
    """Batch norm, then the gain and bias of each sample's class, or of a mixture of classes."""
    torch.manual_seed(0)
    layer, x = ConditionalBatchNorm(3, 2), torch.randn(4, 3, 2, 2)
    plain = nn.BatchNorm2d(3, affine=False)(x)
    torch.testing.assert_close(layer(x, torch.tensor([0, 1, 0, 1])), plain)
    layer.gains.data[1], layer.biases.data[1] = torch.tensor([2.0, 3.0, 4.0]), torch.ones(3)
    found = layer(x, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(found[0], plain[0])
    torch.testing.assert_close(found[1], plain[1] * torch.tensor([2.0, 3, 4])[:, None, None] + 1)
    mixed = layer(x, torch.tensor([[0.5, 0.5]] * 4))
    torch.testing.assert_close(mixed, plain * torch.tensor([1.5, 2, 2.5])[:, None, None] + 0.5)


def test_labels_reach_the_generator_by_conditional_batch_norm() -> None:
    data = DataSpec("images", (1, 16, 16), 8, 3)
    family = ResNet(width=4, discriminator_width=4, generator_conditioning="batch_norm")
    generator, z = family.generator(5, data, 3), torch.randn(3, 5)
    y = torch.tensor([0, 1, 2])
    before = generator(z, y)
    for layer in generator.modules():
        if isinstance(layer, ConditionalBatchNorm):
            layer.biases.data[2] += 1
    after = generator.eval()(z, y) - generator(z, torch.zeros(3, dtype=torch.int64))
    assert before.shape == (3, 1, 16, 16)
    assert after[:2].abs().max() < 1e-5
    assert after[2].abs().max() > 1e-3
    with pytest.raises(ConfigError, match=r"network\.generator_norm = none: must be batch with"):
        ResNet(generator_norm="none", generator_conditioning="batch_norm")


def test_the_generator_s_block() -> None:
    """The shortcut's convolution before the upsampling is that after it."""
    torch.manual_seed(0)
    block, x = UpBlock(4, 4, (6, 6), nn.BatchNorm2d).eval(), torch.randn(2, 4, 3, 3)
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


@pytest.mark.parametrize(("first", "root"), [("block", "first"), ("convolution", "last")])
def test_initial_gains_are_those_of_the_authors_code(first: Any, root: str) -> None:
    """The code for 32 pixels has no sqrt 2 in G's last layer, that for 64 none in D's first."""
    torch.manual_seed(0)
    family = ResNet(width=64, first=first, discriminator_norm="layer", spectral_norm=False)
    generator: Any = family.generator(16, CIFAR)
    discriminator: Any = family.discriminator(CIFAR)
    begin = discriminator.first
    layers = {
        "first": begin.one if isinstance(begin, DownBlock) else begin,
        "last": generator.layers[-1],
        "inner": generator.layers[2].same,
    }
    for name, layer in layers.items():
        fans = (layer.in_channels + layer.out_channels) * 9
        gain = math.sqrt(2) if name in (root, "inner") else 1.0
        assert layer.weight.std().item() == pytest.approx(gain * math.sqrt(2 / fans), rel=0.1)


def test_a_projection_begins_with_glorot_s_weights() -> None:
    torch.manual_seed(0)
    family = ResNet(
        width=64, spectral_norm=False, discriminator_norm="none", conditioning="projection"
    )
    table = family.discriminator(CIFAR, 10).projection
    assert table is not None
    assert table.weight.std().item() == pytest.approx(
        math.sqrt(2 / sum(table.weight.shape)), rel=0.1
    )
