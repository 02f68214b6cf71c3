import re

import pytest
import torch

from gan_cli.data.resize import centre_crop, parse_size, resized
from gan_cli.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("size", "expected"), [(None, None), (32, (32, 32)), ([8, 16], (8, 16)), ((1, 2), (1, 2))]
)
def test_sizes(size, expected) -> None:
    assert parse_size(size) == expected


@pytest.mark.parametrize(
    "size", [0, -3, True, [True, 4], "64", [], [3], [3, 4, 5], [0, 4], [2.0, 4], 3.5, ["a", "b"]]
)
def test_wrong_sizes_are_refused(size) -> None:
    message = f"data.size = {size}: a positive number or [height,width] is needed"
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_size(size)


@pytest.mark.parametrize(
    ("image", "target", "crop"),
    [
        ((28, 28), (32, 32), (0, 0, 28, 28)),
        ((100, 50), (10, 10), (25, 0, 50, 50)),
        ((50, 100), (10, 10), (0, 25, 50, 50)),
        ((60, 60), (10, 20), (15, 0, 30, 60)),
        ((60, 60), (20, 10), (0, 15, 60, 30)),
        ((1, 1), (5, 1), (0, 0, 1, 1)),
        ((1, 1000), (1000, 1), (0, 499, 1, 1)),
    ],
)
def test_crop_is_central_and_of_the_targets_aspect(image, target, crop) -> None:
    assert centre_crop(*image, *target) == crop


def test_own_size_is_left_alone() -> None:
    images = torch.randint(256, (2, 3, 5, 7)).byte()
    assert resized(images, None) is images
    assert resized(images, [5, 7]) is images


def test_halving_is_antialiased() -> None:
    # Columns 0, 255, 0, 255 ...: without antialiasing the result would be all 0 or all 255.
    stripes = torch.tensor([0, 255] * 8, dtype=torch.uint8).expand(1, 1, 16, 16)
    half = resized(stripes, 8)
    assert half.dtype == torch.uint8
    assert (half[..., 1:-1].float() - 127.5).abs().max() <= 1


def test_every_image_is_resized_alike_whatever_the_chunk(monkeypatch) -> None:
    images = torch.randint(256, (7, 2, 12, 9), generator=torch.Generator().manual_seed(1)).byte()
    whole = resized(images, [6, 10])
    monkeypatch.setattr("gan_cli.data.resize.CHUNK_VALUES", 2 * 12 * 9 * 3)
    assert torch.equal(resized(images, [6, 10]), whole)
    assert whole.shape == (7, 2, 6, 10)


def test_flat_images_stay_flat_and_extremes_do_not_wrap() -> None:
    images = torch.tensor([0, 1, 254, 255], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 5, 5)
    for size in (3, 11):
        grown = resized(images, size)
        assert torch.equal(grown, images[..., :1, :1].expand(4, 1, size, size))


def test_only_the_centre_is_used() -> None:
    image = torch.zeros(1, 1, 4, 12, dtype=torch.uint8)
    image[..., 4:8] = 200
    assert (resized(image, 4) == 200).all()


def test_what_memory_cannot_hold_is_refused() -> None:
    images = torch.zeros(1, 1, 2, 2, dtype=torch.uint8).expand(60000, 1, 2, 2)
    with pytest.raises(DataError, match=r"data.size = 200000: 60,000 images of that size take"):
        resized(images, 200000)
