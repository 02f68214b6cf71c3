"""StyleGAN2's networks: the parameters and the numbers of the authors' code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.stylegan2 import (
    MinibatchDeviation,
    Modulated,
    StyledLayer,
    StyleGAN2,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)


def images(side: int, classes: int = 0, channels: int = 3) -> DataSpec:
    return DataSpec("images", (channels, side, side), 8, classes)


def pair(
    family: StyleGAN2, data: DataSpec, inputs: int, classes: int = 0
) -> tuple[StyleGAN2Generator, StyleGAN2Discriminator]:
    generator = family.generator(inputs, data, classes)
    discriminator = family.discriminator(data, classes)
    assert isinstance(generator, StyleGAN2Generator)
    assert isinstance(discriminator, StyleGAN2Discriminator)
    return generator, discriminator


# Counted in NVlabs/stylegan2-ada-pytorch, training/networks.py.
AUTHORS = [
    (StyleGAN2(width=1024, mapping=2, residual=False), 32, 512, 0, 19_947_539, 20_720_641),  # cifar
    (StyleGAN2(width=64), 32, 64, 0, 4_910_547, 9_055_809),
    (StyleGAN2(width=256), 64, 512, 0, 23_819_544, 23_407_361),
    (StyleGAN2(width=16, mapping=2), 64, 64, 10, 1_292_488, 2_867_984),
]


@pytest.mark.parametrize(("family", "side", "inputs", "classes", "of_g", "of_d"), AUTHORS)
def test_the_authors_parameters(
    family: StyleGAN2, side: int, inputs: int, classes: int, of_g: int, of_d: int
) -> None:
    networks = pair(family, images(side, classes), inputs, classes)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [of_g, of_d]


def fill(network: nn.Module) -> None:
    """sin(.7 i) in every parameter; the mapping's weights a hundred times as large."""
    for name, parameter in network.named_parameters():
        slow = ".layers." in name and name.split(".")[0] in ("mapping", "labels")
        scale = 100 if slow and "weight" in name else 1
        values = torch.sin(0.7 * torch.arange(parameter.numel(), dtype=torch.float64))
        parameter.data = scale * values.float().view(parameter.shape)


NUMBERS = {  # by classes: means of |x|, a pixel of each image; outputs of D
    0: (
        [2.7618, 2.7720, 2.7822, 2.7841],
        [2.4428, 2.4440, 2.4534, 2.4563],
        [1.8062, 1.8045, 1.8067, 1.8053],
    ),
    3: (
        [2.7392, 2.7564, 2.7739, 2.7859],
        [2.4385, 2.4432, 2.4399, 2.4272],
        [0.0448, 0.0448, 0.0448, 0.0448],
    ),
}


@pytest.mark.parametrize("classes", NUMBERS)
def test_the_numbers_of_the_authors_code(classes: int) -> None:
    """With the same parameters; 16 pixels a side, 8 to 16 channels, latents of 6 numbers."""
    family = StyleGAN2(width=8, most=16, mapping=2, group=2)
    generator, discriminator = pair(family, images(16, classes), 6, classes)
    fill(generator)
    fill(discriminator)
    if classes:  # its mapping has the authors' default of eight layers
        assert discriminator.labels is not None
        assert len(discriminator.labels.layers) == 8
    z, labels = torch.sin(torch.arange(24.0)).view(4, 6), torch.tensor([0, 1, 2, 1])
    y = labels if classes else None
    x = generator.eval().raw(z, y)
    assert torch.equal(generator(z, y), x.clamp(-1, 1))
    real = torch.sin(torch.arange(4 * 3 * 256.0) ** 2).view(4, 3, 16, 16)
    means, pixels, outputs = NUMBERS[classes]
    assert x.abs().mean((1, 2, 3)).tolist() == pytest.approx(means, abs=2e-4)
    assert x[:, 1, 5, 9].tolist() == pytest.approx(pixels, abs=2e-4)
    assert discriminator(real, y).tolist() == pytest.approx(outputs, abs=2e-4)


def test_a_style_scales_the_weights_and_normalises_them() -> None:
    """Eqs. 1 and 3, kernel by kernel for each sample."""
    torch.manual_seed(0)
    layer, x, w = Modulated(3, 4, 5), torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    found = layer(x, w)
    for i in range(2):
        scaled = layer.weight * layer.affine(w)[i][None, :, None, None]
        kernel = scaled / (scaled.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        wanted = nn.functional.conv2d(x[i : i + 1], kernel, padding=1)
        torch.testing.assert_close(found[i : i + 1], wanted)


def test_deviations_over_groups() -> None:
    """Samples 0 and 2 are a group of two, and 1 and 3."""
    x = torch.zeros(4, 1, 2, 2)
    x[2] = 2.0
    shown = MinibatchDeviation(2)(x)[:, 1, 0, 0]
    assert shown.tolist() == pytest.approx([1, 1e-4, 1, 1e-4], abs=1e-3)
    assert MinibatchDeviation(4)(x[:3]).shape == (3, 2, 2, 2)


def test_a_sample_depends_on_its_latent_alone_and_training_draws_noise() -> None:
    generator, _ = pair(StyleGAN2(width=4, most=8, mapping=1), images(8), 4)
    for layer in generator.layers:
        assert isinstance(layer, StyledLayer)
        layer.strength.data.fill_(1.0)
    z = torch.randn(3, 4)
    assert not torch.equal(generator(z), generator(z))
    generator.eval()
    torch.testing.assert_close(generator(z)[1:2], generator(z[1:2]))


def test_truncation_moves_styles_towards_their_mean() -> None:
    generator, _ = pair(StyleGAN2(width=4, most=8, mapping=1, truncation=0.25), images(8), 4)
    z = torch.randn(64, 4)
    with torch.no_grad():
        for _ in range(2000):
            generator.styles(z)
        full = generator.styles(z)
    torch.testing.assert_close(generator.mean_style, full.mean(0), atol=1e-3, rtol=0)
    generator.eval()
    wanted = full.mean(0) + 0.25 * (full - full.mean(0))
    torch.testing.assert_close(generator.styles(z), wanted, atol=1e-3, rtol=0)


def test_the_mean_style_stays_while_another_player_learns() -> None:
    generator, _ = pair(StyleGAN2(width=4, most=8, mapping=1), images(8), 4)
    generator.requires_grad_(False)
    generator(torch.randn(3, 4))
    assert not generator.mean_style.any()


def slope(x: Tensor, discriminator: StyleGAN2Discriminator) -> Tensor:
    x = x.requires_grad_()
    return torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]


def test_r1_can_be_differentiated() -> None:
    _, discriminator = pair(StyleGAN2(width=4, most=8), images(8), 4)
    slope(torch.randn(4, 3, 8, 8), discriminator).square().sum().backward()
    gradients = [p.grad for n, p in discriminator.named_parameters() if "weight" in n]
    assert all(g is not None and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 48), (3, 24, 40)])
def test_sizes_that_halve_evenly(shape: tuple[int, int, int]) -> None:
    data = DataSpec("images", shape, 8)
    generator, discriminator = pair(StyleGAN2(width=2, most=4, mapping=1), data, 4)
    x = generator(torch.randn(2, 4))
    assert x.shape == (2, *shape)
    assert discriminator(x).shape == (2,)


@pytest.mark.parametrize("shape", [(3, 30, 30), (3, 32, 17), (3, 4, 4)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=r"needs sides that halve evenly .*; set data\.size="):
        StyleGAN2(width=4).generator(4, DataSpec("images", shape, 8))
