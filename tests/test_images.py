"""Pictures: exact levels, tables in reading order, files that are whole."""

import errno
import os

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.errors import UserError
from gan_cli.images import tile, to_uint8, write_animation, write_gif, write_png


def test_levels_survive_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    scaled = levels.float().div(127.5).sub(1)  # as data sets do
    assert np.array_equal(to_uint8(scaled)[0, :, :, 0], levels[0, 0].numpy())


def test_values_outside_are_clamped_and_half_precision_works():
    values = torch.tensor([-7.0, -torch.inf, 0.0, 7.0, torch.inf]).reshape(1, 1, 1, 5).bfloat16()
    assert to_uint8(values).ravel().tolist() == [0, 0, 128, 255, 255]


def test_nan_is_painted_as_a_checkerboard():
    images = torch.zeros(1, 3, 2, 2)
    images[0, 1] = torch.nan
    assert to_uint8(images)[0, :, :, 1].tolist() == [[0, 255], [255, 0]]
    assert to_uint8(images)[0, :, :, 0].tolist() == [[128, 128], [128, 128]]


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r"images of shape \[3, 4\]"):
        to_uint8(torch.zeros(3, 4))


def test_tile_reads_row_by_row_with_white_margins():
    images = torch.stack([torch.full((3, 2, 4), level) for level in (-1.0, -0.5, 0.0)])
    table = tile(images, columns=2, margin=1)
    assert table.shape == (2 * 2 + 3, 2 * 4 + 3, 3)
    expected = np.full((7, 11, 3), 255, np.uint8)
    expected[1:3, 1:5] = 0
    expected[1:3, 6:10] = 64
    expected[4:6, 1:5] = 128  # the fourth cell stays white
    assert np.array_equal(table, expected)


def test_tile_keeps_left_and_right():
    image = torch.linspace(-1, 1, 6).reshape(1, 1, 2, 3)
    assert np.array_equal(tile(image, columns=1, margin=0), to_uint8(image)[0])


def test_zoom_magnifies_pixels_and_not_margins():
    image = torch.tensor([[-1.0, 1.0], [0.0, -1.0]]).reshape(1, 1, 2, 2)
    table = tile(image, columns=1, margin=2, zoom=3)
    assert table.shape == (10, 10, 1)
    inner = table[2:-2, 2:-2, 0]
    assert np.array_equal(inner, np.kron([[0, 255], [128, 0]], np.ones((3, 3))))


@pytest.mark.parametrize(
    ("n", "settings"),
    [(0, {}), (1, {"columns": 0}), (1, {"margin": -1}), (1, {"zoom": 0})],
)
def test_tile_refuses(n, settings):
    with pytest.raises(ValueError, match="at least one image"):
        tile(torch.zeros(n, 1, 2, 2), **{"columns": 1, **settings})


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    write_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "picture",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.float32)],
)
def test_png_refuses_other_arrays(tmp_path, picture):
    with pytest.raises(ValueError, match="1, 3 or 4 channels is required"):
        write_png(tmp_path / "a.png", picture)
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.png: cannot be written: No space left on device"):
        write_png(path, np.ones((2, 2, 3), np.uint8))
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written: No such file or directory"):
        write_png(tmp_path / "no" / "a.png", np.zeros((2, 2, 3), np.uint8))


def test_gif_loops_with_its_frames_and_times(tmp_path):
    frames = [np.full((4, 6, 3), level, np.uint8) for level in (0, 100, 200)]
    write_gif(tmp_path / "a.gif", frames, 0.08)
    with Image.open(tmp_path / "a.gif") as image:
        assert (getattr(image, "n_frames", 1), image.size) == (3, (6, 4))
        assert image.info["loop"] == 0
        for i, frame in enumerate(frames):
            image.seek(i)
            assert image.info["duration"] == 80
            assert np.array_equal(np.asarray(image.convert("RGB")), frame)


def test_gif_of_grey_frames_is_exact(tmp_path):
    frames = [np.arange(256, dtype=np.uint8).reshape(16, 16, 1), np.zeros((16, 16, 1), np.uint8)]
    write_gif(tmp_path / "a.gif", frames, 1)
    with Image.open(tmp_path / "a.gif") as image:
        assert np.array_equal(np.asarray(image.convert("L")), frames[0][:, :, 0])


def test_gif_needs_a_frame(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_gif(tmp_path / "a.gif", [], 1)


def test_webp_loops_with_its_frames_and_times(tmp_path):
    frames = [np.full((4, 6, 3), level, np.uint8) for level in (0, 100, 200)]
    write_animation(tmp_path / "a.webp", frames, 0.0625)
    with Image.open(tmp_path / "a.webp") as image:
        assert (getattr(image, "n_frames", 1), image.size) == (3, (6, 4))
        assert image.info["loop"] == 0
        for i, frame in enumerate(frames):
            image.seek(i)
            assert np.array_equal(np.asarray(image.convert("RGB")), frame)
        assert image.info["duration"] == 62


def test_an_animation_s_ending_is_its_kind(tmp_path):
    frames = [np.zeros((4, 6, 1), np.uint8), np.full((4, 6, 1), 9, np.uint8)]
    write_animation(tmp_path / "a.GIF", frames, 1)
    with Image.open(tmp_path / "a.GIF") as image:
        assert image.format == "GIF"
