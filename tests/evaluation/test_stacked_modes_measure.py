import math

import pytest
import torch
from painting import subject
from pretending import Pretender
from torch import Tensor

from gan_cli.data.stacked_mnist import StackedMNIST
from gan_cli.evaluation.measures import modes
from gan_cli.evaluation.measures.modes import StackedModes, modes_seen
from gan_cli.evaluation.metric import Extractor


class Brightness(Extractor):
    """Reads an image as the digit of its brightness, 0 to 9."""

    name, width, classes = "brightness", 1, 10
    identity, resize = "cd" * 32, "none"

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 1
        level = images.float().mean((1, 2, 3)) / 25.5 - 0.5
        return level[:, None], -(level[:, None] - torch.arange(10)).square()


def painted(digits: Tensor) -> Tensor:
    """Stacks [n, 3, 28, 28] whose channels read as `digits` [n, 3]."""
    return ((digits + 0.5) / 5 - 1)[:, :, None, None].expand(-1, 3, 28, 28)


@pytest.fixture
def data(monkeypatch) -> StackedMNIST:
    monkeypatch.setattr(modes, "STACKS", 3000)
    return StackedMNIST("test", stacks=500)


def figures(data: StackedMNIST, decode) -> dict:
    node = {"_target_": "gan_cli.data.stacked_mnist.StackedMNIST"}
    model = Pretender(data, lambda z, _: decode(z), latents=3)
    judged = subject(model=model, node=node, known=data, split="all")
    found = StackedModes(lambda _: Brightness()).measure(judged)
    return {figure.name: figure for figure in found.values}


def test_channels_are_read_from_red_to_blue() -> None:
    digits = torch.tensor([[0, 0, 7], [4, 0, 2], [4, 0, 2], [9, 9, 9]])
    counts = modes_seen(painted(digits).split(3), Brightness())
    assert counts.sum() == 4
    assert (counts[7], counts[402], counts[999]) == (1, 2, 1)


def test_even_digits_have_the_kl_of_chance(data: StackedMNIST) -> None:
    def even(z: Tensor) -> Tensor:
        return painted((torch.special.ndtr(z) * 10).long().clamp(max=9))

    found = figures(data, even)
    # Of 3,000 even draws, 1000 (1 - e^-3) = 950 modes are seen; deviation below 7.
    assert found["stacked_modes"].value == pytest.approx(950, abs=28)
    # About 999 / 6000, and more at three samples a mode.
    assert 0.12 < found["stacked_reverse_kl"].value < 0.25
    assert found["stacked_modes"].protocol["samples"] == 3000


def test_one_digit_alone_and_ten(data: StackedMNIST) -> None:
    found = figures(data, lambda z: painted(torch.full((len(z), 3), 5)))
    assert found["stacked_modes"].value == 1
    assert found["stacked_reverse_kl"].value == pytest.approx(math.log(1000))
    assert found["stacked_modes"].baseline >= 1  # real stacks, by the same classifier


def test_other_data_has_no_stacks() -> None:
    assert StackedModes().unfit(subject()) == "it counts the modes of stacked_mnist"
