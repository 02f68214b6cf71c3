"""The networks of VEEGAN and PacGAN for stacked MNIST."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.veegan import VEEGAN, down, halves, up


def images(channels: int, height: int, width: int, classes: int = 0) -> DataSpec:
    names = tuple(map(str, range(classes)))
    return DataSpec("test", (channels, height, width), 10, classes, names)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes_are_rounded_up() -> None:
    assert [side for side, _ in halves(images(3, 28, 28))] == [28, 14, 7, 4, 2]
    assert halves(images(3, 64, 50)) == [(64, 50), (32, 25), (16, 13), (8, 7), (4, 4)]


def test_the_papers_parameters() -> None:
    """By hand, with biases and, for each norm, two numbers a channel."""
    family, data = VEEGAN(), images(3, 28, 28)
    channels = [512, 256, 128, 64]
    wanted = 101 * 4 * 512 + 2 * sum(channels)
    wanted += sum(25 * a * b + b for a, b in zip(channels, [*channels[1:], 3], strict=True))
    assert parameters(family.generator(100, data)) == wanted
    wanted = 2 * sum(channels[:3]) + 4 * 512 + 1
    wanted += sum(25 * a * b + a for a, b in zip(channels, [*channels[1:], 3], strict=True))
    assert parameters(family.discriminator(data)) == wanted


def test_padding_is_tensorflows_same() -> None:
    """On an even side the first window begins one before the image, on an odd one two before."""
    for side, before in ((4, 1), (5, 2)):
        layer = down(1, 1, (side, side))
        nn.init.zeros_(layer[1].bias)  # type: ignore[arg-type]
        nn.init.zeros_(layer[1].weight)  # type: ignore[arg-type]
        with torch.no_grad():
            layer[1].weight[0, 0, before, before] = 1  # type: ignore[index]
        x = torch.arange(side * side).float().view(1, 1, side, side)
        assert torch.equal(layer(x), x[:, :, ::2, ::2])  # each window sees its own centre


@pytest.mark.parametrize("size", [(28, 28), (7, 7), (4, 7), (13, 6), (2, 1)])
def test_going_up_is_the_adjoint_of_going_down(size: tuple[int, int]) -> None:
    """<down(x), y> = <x, up(y)> with the same kernel, as TensorFlow defines it."""
    torch.manual_seed(0)
    lower, upper = down(2, 3, size).double(), up(3, 2, size).double()
    for layer in (lower[1], upper[0]):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    upper[0].weight = lower[1].weight
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    y = torch.randn_like(lower(x))
    assert upper(y).shape == x.shape
    torch.testing.assert_close((lower(x) * y).sum(), (x * upper(y)).sum())


def test_real_and_fake_images_are_the_papers_up_to_scale() -> None:
    """D of ours on 2 x - 1 is theirs on x; G of ours is 2 tanh - 1."""
    torch.manual_seed(0)
    family, data = VEEGAN(2), images(1, 28, 28)
    generator, discriminator = family.generator(4, data), family.discriminator(data).eval()
    z = torch.randn(3, 4)
    tanh = generator.raw(z).tanh()
    torch.testing.assert_close(generator(z), 2 * tanh - 1)
    x = torch.rand(3, 1, 28, 28)
    seen: list[torch.Tensor] = []
    first = discriminator.get_submodule("first")
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    discriminator(2 * x - 1)
    torch.testing.assert_close(seen[0], x)


def test_batch_norm_and_initial_weights() -> None:
    torch.manual_seed(0)
    family, data = VEEGAN(8), images(3, 28, 28)
    generator, discriminator = family.generator(100, data), family.discriminator(data)
    for network, sizes in ((generator, [64, 32, 16, 8]), (discriminator, [16, 32, 64])):
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert [m.num_features for m in norms] == sizes
        assert all((m.weight == 1).all() for m in norms)
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.abs().max() <= 0.04
            assert layer.bias is not None
            assert not layer.bias.any()
    dense = generator.get_parameter("layers.0.weight")
    assert dense.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (33, 18), (3, 5)])
@pytest.mark.parametrize("classes", [0, 3])
def test_any_size(height: int, width: int, classes: int) -> None:
    family, data = VEEGAN(2), images(2, height, width, classes)
    y = torch.tensor([0, 2]) if classes else None
    x = family.generator(4, data, classes)(torch.randn(2, 4), y)
    assert x.shape == (2, 2, height, width)
    discriminator = family.discriminator(data, classes)
    assert discriminator(x, y).shape == (2,)
    assert discriminator.features(x, y).shape == (2, discriminator.width)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="network = veegan: works on images, and ring holds"):
        VEEGAN().generator(10, DataSpec("ring", (2,), 100))
    with pytest.raises(ConfigError, match=r"network\.width = 0: must be at least 1"):
        VEEGAN(0)


def test_a_packed_game_trains() -> None:
    game = ("model=gan", "network=veegan", "network.width=2", "model.packing=2")
    session = session_of(*game, "data.split=test")
    session.trainer.advance()
    assert not session.trainer.not_finite()
    assert session.model.get_parameter("discriminator.first.1.weight").shape[1] == 2
