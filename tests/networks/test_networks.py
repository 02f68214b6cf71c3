"""Network families: sizes, parameter counts, initial weights."""

import pytest
import torch
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN, DCGANDiscriminator
from gan_cli.networks.family import NetworkFamily, he_deviation
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.layers import pyramid
from gan_cli.networks.mlp import MLP
from gan_cli.networks.resize import ResizeNetworks


def images(channels: int, height: int, width: int, classes: int = 0) -> DataSpec:
    names = tuple(map(str, range(classes)))
    return DataSpec("test", (channels, height, width), 100, classes, names)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_dcgan_at_64_has_the_papers_parameters() -> None:
    family = DCGAN(width=64)
    assert parameters(family.generator(100, images(3, 64, 64))) == 3_576_704
    assert parameters(family.discriminator(images(3, 64, 64))) == 2_765_568


def test_dcgan_initial_weights() -> None:
    torch.manual_seed(0)
    generator = DCGAN().generator(100, images(3, 64, 64))
    for layer in generator.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            assert layer.weight.mean().item() == pytest.approx(0, abs=0.002)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.015)
            assert (layer.bias == 0).all()


def test_batch_norm_is_where_the_paper_has_it() -> None:
    """Not on the generator's output and not on the discriminator's input."""
    family = DCGAN()
    generator = list(family.generator(100, images(3, 64, 64)).layers)  # type: ignore[arg-type]
    assert [type(layer).__name__ for layer in generator[-2:]] == ["ReLU", "ConvTranspose2d"]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in generator) == 4
    discriminator = family.discriminator(images(3, 64, 64))
    norms = [layer for layer in discriminator.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [128, 256, 512]


@pytest.mark.parametrize(
    "family", [DCGAN(8), DCGAN(8, discriminator_norm="layer"), InfoGANNetworks(8), MLP(16)]
)
@pytest.mark.parametrize(
    ("channels", "height", "width"),
    [(1, 28, 28), (3, 32, 32), (3, 33, 47), (1, 10, 50), (3, 64, 128), (2, 13, 11)],
)
@pytest.mark.parametrize("classes", [0, 3])
def test_any_size(
    family: NetworkFamily, channels: int, height: int, width: int, classes: int
) -> None:
    data = images(channels, height, width, classes)
    generator = family.generator(10, data, classes)
    discriminator = family.discriminator(data, classes)
    y = torch.tensor([0, 2]) if classes else None
    x = generator(torch.randn(2, 10), y)
    assert x.shape == (2, channels, height, width)
    assert x.abs().max() <= 1
    assert discriminator(x, y).shape == (2,)
    assert discriminator.features(x, y).shape == (2, discriminator.width)


def test_pyramid() -> None:
    assert pyramid(images(1, 64, 64), "dcgan") == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert pyramid(images(1, 28, 28), "dcgan") == [(28, 28), (14, 14), (7, 7), (3, 3)]
    assert pyramid(images(1, 28, 28), "infogan", 5) == [(28, 28), (14, 14), (7, 7)]


def test_points_and_tiny_images_are_refused_with_what_works() -> None:
    points = DataSpec("ring", (2,), 100)
    for family in (DCGAN(), InfoGANNetworks()):
        with pytest.raises(ConfigError, match="ring holds points of dimension 2; use network=mlp"):
            family.generator(10, points)
    with pytest.raises(ConfigError, match=r"data.size = \[4,28\].*nearest .* \[6,28\]"):
        DCGAN().discriminator(images(1, 4, 28))
    DCGAN().discriminator(images(1, 6, 28))
    with pytest.raises(ConfigError, match=r"nearest .* \[10,28\]"):
        InfoGANNetworks().discriminator(images(1, 9, 28))
    InfoGANNetworks().discriminator(images(1, 10, 28))


@pytest.mark.parametrize("family", [DCGAN(8), MLP(16), InfoGANNetworks(8)])
def test_labels_matter_to_both(family: NetworkFamily) -> None:
    data = images(1, 16, 16, 3)
    generator, discriminator = family.generator(4, data, 3).eval(), family.discriminator(data, 3)
    discriminator.eval()
    z = torch.randn(1, 4).repeat(2, 1)
    x = generator(z, torch.tensor([0, 1]))
    assert not torch.allclose(x[0], x[1])
    same = x[:1].repeat(2, 1, 1, 1)
    scores = discriminator(same, torch.tensor([0, 1]))
    assert scores[0] != scores[1]
    with pytest.raises(ValueError, match="needs labels"):
        generator(z)
    with pytest.raises(ValueError, match="needs labels"):
        discriminator(x)


def test_the_label_bias_is_a_one_hot_plane_beside_the_image() -> None:
    """Away from the border, where padding cuts the planes."""
    data = images(1, 16, 16, 3)
    discriminator = DCGANDiscriminator(DCGAN(8), data, 3)
    first, table = discriminator.first, discriminator.label.table
    assert table is not None
    beside = nn.Conv2d(1 + 3, 8, 4, 2, 1, bias=False)
    x, y = torch.randn(2, 1, 16, 16), torch.tensor([2, 0])
    with torch.no_grad():
        beside.weight[:, :1] = first.weight
        beside.weight[:, 1:] = (table.weight.T / 16)[:, :, None, None]
        planes = nn.functional.one_hot(y, 3).float()[:, :, None, None].expand(-1, -1, 16, 16)
        wanted = beside(torch.cat([x, planes], 1))
        got = discriminator.label(first(x), y)
    torch.testing.assert_close(got[:, :, 1:-1, 1:-1], wanted[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DCGAN(0), "network.width = 0: must be at least 1"),
        (lambda: MLP(8, 0), "network.depth = 0: must be at least 1"),
        (lambda: MLP(8, 10**9), "network.depth = 1000000000: must be at most 1,000"),
        (
            lambda: DCGAN(8, discriminator_norm="bath"),  # type: ignore[arg-type]
            "network.discriminator_norm = bath: must be batch, layer or",
        ),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_he_init_keeps_the_size_of_signals_without_norms() -> None:
    """The deviation of the image before tanh is about 1, and tiny with N(0, .02)."""
    torch.manual_seed(0)
    z = torch.randn(64, 32)
    spread = {}
    for family in (DCGAN, ResizeNetworks):
        for init in ("normal", "he"):
            network = family(16, generator_norm="none", init=init).generator(32, images(1, 28, 28))
            spread[family, init] = network.raw(z).std().item()
        assert spread[family, "normal"] < 0.01
        assert 0.5 < spread[family, "he"] < 2


def test_he_deviations_count_what_a_unit_gets() -> None:
    assert he_deviation(nn.Linear(8, 3)) == pytest.approx((2 / 8) ** 0.5)
    assert he_deviation(nn.Conv2d(2, 5, 3)) == pytest.approx((2 / 18) ** 0.5)
    doubling = nn.ConvTranspose2d(2, 5, 4, 2, 1)  # each pixel gets 2x2 of the 4x4 taps
    assert he_deviation(doubling) == pytest.approx((2 / 8) ** 0.5)
    assert he_deviation(nn.ConvTranspose2d(32, 5, 7)) == pytest.approx((2 / 32) ** 0.5)
