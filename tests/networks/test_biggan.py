"""BigGAN's networks: the parameters of the authors' code, and where labels and latents come in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.biggan import BigGAN, BigGANGenerator
from gan_cli.networks.layers import ProjectedBatchNorm
from gan_cli.networks.resnet import SelfAttention


def images(side: int, classes: int = 0, channels: int = 3) -> DataSpec:
    return DataSpec("images", (channels, side, side), 8, classes)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


SMALL = BigGAN(shared=None, split=False, attention=None, init="normal")
# Counted in ajbrock/BigGAN-PyTorch, `BigGAN.Generator` and `Discriminator` with these settings.
AUTHORS = [
    (SMALL, 32, 10, 128, 4_304_387, 4_207_361),  # scripts/launch_cifar_ema.sh
    (BigGAN(attention=None), 32, 10, 128, 4_373_251, 4_207_361),
    (BigGAN(), 64, 10, 120, 31_842_820, 19_558_082),
    (BigGAN(width=32), 128, 1000, 120, 8_543_300, 10_120_802),
]


@pytest.mark.parametrize(("family", "side", "classes", "inputs", "of_g", "of_d"), AUTHORS)
def test_the_authors_parameters(
    family: BigGAN, side: int, classes: int, inputs: int, of_g: int, of_d: int
) -> None:
    data = images(side, classes)
    assert parameters(family.generator(inputs, data, classes)) == of_g
    assert parameters(family.discriminator(data, classes)) == of_d


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shared", [None, 6])
@pytest.mark.parametrize("side", [28, 64])
def test_any_size_with_labels_and_without(side: int, shared: int | None, classes: int) -> None:
    data = images(side, classes, channels=1)
    family = BigGAN(width=2, shared=shared, split=shared is not None)
    inputs = 13
    y = torch.tensor([0, 1]) if classes else None
    x = family.generator(inputs, data, classes)(torch.randn(2, inputs), y)
    assert x.shape == (2, 1, side, side)
    assert family.discriminator(data, classes)(x, y).shape == (2,)


def test_each_block_sees_its_own_part_of_the_latent_and_the_shared_embedding() -> None:
    generator = BigGAN(width=2, shared=6).generator(10, images(64, 3), 3)
    assert isinstance(generator, BigGANGenerator)
    seen: list[torch.Tensor] = []
    for layer in generator.modules():
        if isinstance(layer, ProjectedBatchNorm):
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    z, y = torch.randn(2, 10), torch.tensor([2, 0])
    generator(z, y)
    assert len(seen) == 8
    assert generator.shared is not None
    for block, vectors in enumerate(zip(seen[::2], seen[1::2], strict=True)):
        wanted = torch.cat([generator.shared(y), z[:, 2 * block + 2 : 2 * block + 4]], dim=1)
        assert all(torch.equal(vector, wanted) for vector in vectors)
    one_hot = nn.functional.one_hot(y, 3).float()
    generator.eval()
    torch.testing.assert_close(generator(z, one_hot), generator(z, y))
    assert not any("shared.parametrizations" in name for name, _ in generator.named_parameters())


def test_attention_with_halved_keys_and_values() -> None:
    """As in the authors' code: theta has all places, phi and g a quarter of them."""
    torch.manual_seed(0)
    layer, x = SelfAttention(16, pooled=True), torch.randn(2, 16, 4, 6)
    layer.gamma.data.fill_(0.5)
    theta = layer.g(x).flatten(2)
    phi, g = (max_pool2d(m(x), 2).flatten(2) for m in (layer.f, layer.h))
    assert (phi.shape[1], g.shape[1]) == (2, 8)
    beta = torch.softmax(torch.bmm(theta.transpose(1, 2), phi), -1)
    o = layer.v(torch.bmm(g, beta.transpose(1, 2)).view(2, 8, 4, 6))
    torch.testing.assert_close(layer(x), 0.5 * o + x)


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({}, 4, r"prior\.dim = 4: is split into 5 parts; set prior\.dim=5 or more, or"),
        ({"attention": 4}, 120, r"network\.attention = 4: must be at most 3"),
        ({"shared": None}, 120, r"network\.split = true: needs a shared embedding"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict, inputs: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BigGAN(width=2, **settings).generator(inputs, images(64, 3), 3)
