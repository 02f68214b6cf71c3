"""Differentiable augmentation (Zhao et al. 2020): what each policy may do and what it may not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_cli.augment import POLICIES, augment, brightness, contrast, cutout, saturation, translation

SIZES = [(3, 16, 24), (1, 28, 28), (6, 9, 5), (1, 1, 1)]


def images(shape: tuple[int, int, int] = (3, 16, 24), n: int = 64) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("policy", list(POLICIES))
def test_any_size_any_channels_and_fresh_at_each_call(
    policy: str, shape: tuple[int, int, int]
) -> None:
    x = images(shape)
    first, second = augment(x, [policy]), augment(x, [policy])
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    if min(shape[1:]) >= 8 or policy == "color":
        assert not torch.equal(first, second)


def test_no_policy_changes_nothing() -> None:
    x = images()
    assert augment(x, []) is x


def test_brightness_adds_one_number_of_at_most_a_half() -> None:
    added = brightness(images()) - images()
    per_image = added.flatten(1)
    assert (per_image.amax(1) - per_image.amin(1)).max() < 1e-6
    assert 0.4 < per_image.max() <= 0.5 + 1e-6
    assert -0.5 - 1e-6 <= per_image.min() < -0.4


def test_saturation_keeps_each_pixel_s_grey_and_scales_about_it() -> None:
    x = images(n=256)
    out = saturation(x)
    torch.testing.assert_close(out.mean(1), x.mean(1))
    factor = (out - out.mean(1, keepdim=True))[:, 0, 0, 0] / (x - x.mean(1, keepdim=True))[
        :, 0, 0, 0
    ]
    assert 0 <= factor.min() < 0.1
    assert 1.9 < factor.max() <= 2.001
    grey = images((1, 8, 8))
    torch.testing.assert_close(saturation(grey), grey)


def test_contrast_keeps_each_image_s_mean_and_scales_about_it() -> None:
    x = images(n=256)
    out = contrast(x)
    torch.testing.assert_close(out.mean((1, 2, 3)), x.mean((1, 2, 3)))
    factor = out.flatten(1).std(1) / x.flatten(1).std(1)
    assert 0.5 <= factor.min() < 0.55
    assert 1.45 < factor.max() <= 1.501


def test_translation_moves_by_up_to_an_eighth_and_zeros_come_in() -> None:
    """One bright pixel shows the shift; every shift of up to 2 of 16 and 3 of 24 occurs."""
    x = torch.zeros(2000, 1, 16, 24)
    x[:, :, 8, 12] = 1
    position = translation(x).flatten(1).argmax(1)
    down, right = position // 24 - 8, position % 24 - 12
    assert set(down.tolist()) == set(range(-2, 3))
    assert set(right.tolist()) == set(range(-3, 4))
    moved = translation(torch.ones(200, 2, 16, 24))
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert moved.flatten(1).mean(1).min() == pytest.approx(14 * 21 / (16 * 24))


def test_cutout_blanks_a_rectangle_of_half_of_each_side() -> None:
    cut = cutout(torch.ones(2000, 2, 8, 12)) == 0
    assert torch.equal(cut[:, 0], cut[:, 1])
    rows, columns = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert torch.equal(cut[:, 0].sum((1, 2)), rows * columns)  # a rectangle
    assert (rows.max(), columns.max()) == (4, 6)
    assert (rows.min(), columns.min()) == (2, 3)  # its middle lies within the image
    # A corner is hit by 3 of 9 places in the height and 4 of 13 in the width; standard error .007.
    for corner in (cut[:, 0, 0, 0], cut[:, 0, -1, -1]):
        assert corner.float().mean().item() == pytest.approx(3 / 9 * 4 / 13, abs=0.03)


@pytest.mark.parametrize(
    ("size", "shift", "half"), [(28, 4, 14), (32, 4, 16), (20, 3, 10), (11, 1, 6), (7, 1, 4)]
)
def test_halves_are_rounded_up_as_in_the_authors_code(size: int, shift: int, half: int) -> None:
    """int(size * ratio + .5): an eighth of 28 is 4 pixels, and half of 7 is 4."""
    x = torch.zeros(2000, 1, size, size)
    x[:, :, size // 2, size // 2] = 1
    position = translation(x).flatten(1).argmax(1)
    assert set((position // size - size // 2).tolist()) == set(range(-shift, shift + 1))
    cut = cutout(torch.ones(2000, 1, size, size)) == 0
    assert cut[:, 0].any(2).sum(1).max() == half
    # An odd stretch has its middle on a pixel, an even one between two of them or at an end.
    assert cut[:, 0].any(2).sum(1).min() == half // 2 + half % 2


AUTHORS = {  # mit-han-lab/data-efficient-gans, DiffAugment_pytorch.py, after torch.manual_seed(5)
    "color": ([91.23054, -101.17944, 110.71864], [-0.49522, 0.70995, 0.27268]),
    "translation": ([1.09344, 0.58495, 0.70183], [0.99661, 0.25815, -0.18154]),
    "cutout": ([-0.21403, -1.63023, 2.98603], [-0.58186, 0.0, -0.18154]),
    "color,translation,cutout": ([60.46797, -82.85853, 64.04486], [0.0, 0.51202, 0.11665]),
}


@pytest.mark.parametrize("policies", AUTHORS)
def test_the_numbers_of_the_authors_code(policies: str) -> None:
    """The sums of three images with three channels of 9x10, and one pixel of each."""
    place = torch.arange(3 * 3 * 9 * 10, dtype=torch.float64)
    x = torch.sin(place * place).view(3, 3, 9, 10).float()
    torch.manual_seed(5)
    out = augment(x, policies.split(","))
    sums, pixels = AUTHORS[policies]
    assert out.double().sum((1, 2, 3)).tolist() == pytest.approx(sums, abs=2e-4)
    assert out[:, 1, 4, 5].tolist() == pytest.approx(pixels, abs=2e-5)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_gradients_flow_and_are_right(policy: str) -> None:
    x = images((2, 8, 9), n=2).double().requires_grad_()

    def same_draw(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x, [policy])

    assert torch.autograd.gradcheck(same_draw, (x,))


def test_each_image_has_its_own_draw() -> None:
    same = images(n=1).expand(16, -1, -1, -1)
    out = augment(same, list(POLICIES))
    assert len({tuple(image.flatten().tolist()) for image in out}) == 16
