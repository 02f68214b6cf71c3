"""Tables of images with names."""

import numpy as np
import torch

from gan_cli.images import tile
from gan_cli.plots.sheet import named_table, sheet


def test_the_images_are_those_of_the_table_and_names_are_beside_them() -> None:
    images = torch.rand(6, 1, 5, 4) * 2 - 1
    table = tile(images, 3, zoom=2)
    named = named_table(images, 3, ["first", "second"], ["a", "", "b"], zoom=2)
    height, width, channels = table.shape
    assert channels == named.shape[2] == 1
    assert np.array_equal(named[-height:, -width:], table)
    assert named[:-height].min() < 128
    assert named[-height:, :-width].min() < 128
    assert np.array_equal(named_table(images, 3, zoom=2), table)


def test_a_long_name_has_room_at_the_right() -> None:
    images = torch.zeros(2, 3, 4, 4)
    named = named_table(images, 2, heads=["", "a name that is much wider than its column"])
    assert named.shape[1] > 200
    assert named[:13].min(axis=(0, 2)).nonzero()[0].size > 0
    assert named.shape[2] == 3


def test_a_caption_of_several_lines_is_one() -> None:
    images = torch.zeros(1, 1, 84, 84)
    assert np.array_equal(sheet(images, ["a\nb"], 1), sheet(images, ["a b"], 1))
    assert sheet(images, ["a\nb"], 1)[-22:].min() < 128
