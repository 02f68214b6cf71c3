"""R3GAN's networks: the paper's parameters and initial weights, resampling, any size."""

from __future__ import annotations

import pytest
import torch
from composing import settings_of

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.r3gan import GAIN, R3GAN, Block, Resample

CIFAR = DataSpec("images", (3, 32, 32), 8)


def test_the_papers_parameters() -> None:
    """The authors' settings for CIFAR-10, by hand: 768 channels on four maps, two blocks each."""
    family, width, middle = R3GAN(width=768), 768, 1536
    block = 2 * width * middle + 9 * 16 * middle + 2 * middle
    generator = family.generator(64, CIFAR)
    assert sum(p.numel() for p in generator.parameters()) == (
        16 * width + 64 * width + 8 * block + 3 * width
    )
    discriminator = family.discriminator(CIFAR)
    assert sum(p.numel() for p in discriminator.parameters()) == (
        3 * width + 8 * block + 16 * width + width
    )


def test_the_authors_parameters() -> None:
    """Counted in brownvc/R3GAN, R3GAN/Networks.py: four stages of 64 channels in 8 groups."""
    family = R3GAN(width=64)
    counts = [
        sum(p.numel() for p in network.parameters())
        for network in (family.generator(64, CIFAR), family.discriminator(CIFAR))
    ]
    assert counts == [285_888, 281_856]


def test_a_block_begins_as_the_identity_with_fixup_s_weights() -> None:
    torch.manual_seed(0)
    block, x = Block(R3GAN(width=64), depth=8), torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    for layer, inputs in ((block.one, 64), (block.two, 16 * 9)):
        expected = GAIN * 8**-0.25 / inputs**0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.03)


def test_resampling_keeps_constants_and_is_its_own_adjoint() -> None:
    """Apart from the border, which the filter reads zeros beyond."""
    down, up = Resample((8, 8), (4, 4)), Resample((4, 4), (8, 8))
    ones = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(down(ones)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    torch.testing.assert_close(up(ones[:, :, :4, :4])[:, :, 2:-2, 2:-2], torch.ones(1, 2, 4, 4))
    torch.manual_seed(0)
    x, y = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum() / 4)


def test_the_preset_plays_it() -> None:
    choices = settings_of("experiment=r3gan_mnist").choices
    assert (choices["loss"], choices["penalty"], choices["network"]) == (
        "relativistic",
        "r1_r2",
        "r3gan",
    )


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 40), (1, 13, 13)])
@pytest.mark.parametrize("classes", [0, 3])
def test_any_size(shape: tuple[int, ...], classes: int) -> None:
    data, family = DataSpec("images", shape, 8), R3GAN(width=8)
    y = torch.tensor([0, 2]) if classes else None
    x = family.generator(5, data, classes)(torch.randn(2, 5), y)
    assert x.shape == (2, *shape)
    assert family.discriminator(data, classes)(x, y).shape == (2,)


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.group = 16: must divide .* = 20"):
        R3GAN(width=10)
