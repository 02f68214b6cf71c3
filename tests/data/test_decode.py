from pathlib import Path

import numpy as np
import pytest
from pictures import BLUE, RED, encoded, halves, noise
from PIL import Image

from gan_cli.data.decode import CHANGED, decode, inspect, to_pixels


def pixels(image: Image.Image, size: tuple[int, int] | None = None, channels: int = 3):
    return to_pixels(image, size or (image.height, image.width), channels)


def through(tmp_path: Path, data: bytes, size=(4, 4), channels=3, name="a.png"):
    """What inspection says of a file and what decoding gives, [channels, height, width]."""
    path = tmp_path / name
    path.write_bytes(data)
    [look] = inspect([path])
    [result] = decode([(path, look.sha256)], size, channels)
    assert not result.broken, result.broken
    return look, np.frombuffer(result.pixels, np.uint8).reshape(channels, *size)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_come_back_exactly(tmp_path: Path, kind: str, channels: int) -> None:
    source = noise(6, 5, channels)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(source), kind, **options)
    look, result = through(tmp_path, data, (6, 5), channels)
    assert look.channels == (3 if kind == "WEBP" else channels)  # WebP knows no grey
    assert np.array_equal(result, source.reshape(6, 5, channels).transpose(2, 0, 1))


def test_jpeg_is_close(tmp_path: Path) -> None:
    look, result = through(tmp_path, encoded(halves(32, 32), "JPEG", quality=95), (32, 32))
    assert look.channels == 3
    assert np.abs(result[:, 5, 5].astype(int) - RED).max() < 8
    assert np.abs(result[:, 5, 27].astype(int) - BLUE).max() < 8


def test_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    data = encoded(halves(32, 32).convert("CMYK"), "JPEG", quality=95)
    look, result = through(tmp_path, data, (32, 32))
    assert look.channels == 3
    assert np.abs(result[:, 5, 5].astype(int) - RED).max() < 12


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, "left"), (2, "right"), (3, "right"), (6, "top"), (8, "bottom")]
)
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int, corner: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(halves(64, 64), "JPEG", quality=95, exif=exif.tobytes())
    _, result = through(tmp_path, data, (16, 16), name="a.jpg")
    red = {"left": (8, 2), "right": (8, 13), "top": (2, 8), "bottom": (13, 8)}[corner]
    opposite = (15 - red[0], 15 - red[1])
    assert result[(0, *red)] > 240
    assert result[(2, *red)] < 15
    assert result[(2, *opposite)] > 240


def test_exif_turns_before_the_centre_is_cut(tmp_path: Path) -> None:
    # Stored 40 wide and 120 high, shown lying: only the middle third of its width stays.
    image = Image.new("RGB", (40, 120), RED)
    image.paste(BLUE, (0, 40, 40, 80))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "JPEG", quality=95, subsampling=0, exif=exif.tobytes())
    _, result = through(tmp_path, data, (10, 10))
    assert result[2, :, 1:-1].min() > 240


def test_alpha_is_laid_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    image.putpixel((1, 2), (*BLUE, 255))
    image.putpixel((3, 3), (0, 0, 0, 128))
    result = pixels(image)
    assert result[:, 0, 0].tolist() == [255, 255, 255]
    assert result[:, 2, 1].tolist() == [0, 0, 255]
    assert result[:, 3, 3].tolist() == [127, 127, 127]


def test_grey_with_alpha_stays_grey(tmp_path: Path) -> None:
    source = np.stack([noise(4, 4, 1), np.full((4, 4), 255, np.uint8)], axis=-1)
    source[0, 0] = (0, 0)
    look, result = through(tmp_path, encoded(Image.fromarray(source), "PNG"), channels=1)
    assert look.channels == 1
    assert result[0, 0, 0] == 255
    assert np.array_equal(result[0, 1:], source[1:, :, 0])


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_colour_that_png_names_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = halves(4, 4).convert(mode)
    key = image.getpixel((0, 0))
    look, result = through(tmp_path, encoded(image, "PNG", transparency=key))
    assert look.channels == (1 if mode == "L" else 3)
    assert (result[:, :, :2] == 255).all()
    assert (result[0, :, 2:] < 50).all()


def test_palettes(tmp_path: Path) -> None:
    look, result = through(tmp_path, encoded(halves(4, 4).convert("P"), "PNG"))
    assert look.channels == 3
    assert result[:, 0, 0].tolist() == list(RED)
    grey = Image.fromarray(noise(4, 4, 1)).convert("P")
    look, result = through(tmp_path, encoded(grey, "PNG"), channels=1)
    assert look.channels == 1
    assert np.array_equal(result[0], noise(4, 4, 1))


def test_black_and_white(tmp_path: Path) -> None:
    image = Image.fromarray(noise(4, 4, 1) > 127)
    look, result = through(tmp_path, encoded(image, "PNG"), channels=1)
    assert look.channels == 1
    assert np.array_equal(result[0], (noise(4, 4, 1) > 127) * 255)


def test_16_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129], [257, 32896, 65535]], np.uint16)
    look, result = through(tmp_path, encoded(Image.fromarray(values), "PNG"), (2, 3), 1)
    assert look.channels == 1
    assert result[0].tolist() == [[0, 0, 1], [1, 128, 255]]  # v / 257, rounded


def test_16_bits_with_a_transparent_value() -> None:
    image = Image.fromarray(np.array([[700, 257]], np.uint16))
    image.info["transparency"] = 700
    assert pixels(image, channels=1).tolist() == [[[255, 1]]]


def test_grey_and_colour_convert_to_each_other() -> None:
    grey = Image.fromarray(noise(4, 4, 1))
    assert np.array_equal(pixels(grey), np.stack([noise(4, 4, 1)] * 3))
    assert pixels(Image.new("RGB", (1, 1), (0, 255, 0)), channels=1)[0, 0, 0] == 150  # Rec. 601


def test_the_centre_is_cut_and_resampled_with_antialiasing() -> None:
    image = Image.new("L", (48, 16))
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 8))
    image.paste(Image.fromarray(stripes), (16, 0))
    small = pixels(image, (4, 4), 1)[0]
    assert np.abs(small.astype(int) - 127).max() <= 24  # without antialiasing: 0 or 255


def test_sizes_that_are_not_square() -> None:
    assert pixels(halves(30, 40), (5, 12)).shape == (3, 5, 12)
    assert pixels(halves(1, 1), (5, 12)).shape == (3, 5, 12)


def test_large_jpegs_decoded_small_look_like_those_decoded_whole(tmp_path: Path) -> None:
    y, x = np.mgrid[:480, :640]
    smooth = np.stack([x * 255 // 639, y * 255 // 479, (x + y) % 256 // 2], -1).astype(np.uint8)
    data = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    _, result = through(tmp_path, data, (20, 20))
    image = Image.open(tmp_path / "a.png")
    image.load()
    whole = pixels(image, (20, 20))
    assert np.abs(result.astype(int) - whole).mean() < 2


def test_animations_give_their_first_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    _, result = through(tmp_path, data)
    assert result[:, 0, 0].tolist() == list(RED)


PNG = encoded(Image.fromarray(noise(40, 40, 3)), "PNG")
JPEG = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"", "a.png", "empty file"),
        (b"<html>", "a.jpg", "not a PNG, JPEG, WebP or BMP image"),
        (encoded(halves(4, 4), "GIF"), "a.png", "not a PNG, JPEG, WebP or BMP image"),
        (encoded(halves(4, 4), "GIF"), "a.gif", "GIF is not supported; convert it"),
        (PNG[: len(PNG) // 2], "a.png", "damaged: "),
        (JPEG[: len(JPEG) // 2], "a.jpg", "damaged: "),
        (PNG[:60] + b"XX" + PNG[62:], "a.png", "damaged: "),
        (encoded(Image.new("1", (20000, 20000)), "PNG"), "a.png", "damaged: Image size"),
    ],
)
def test_broken_files_have_a_reason(tmp_path: Path, data: bytes, name: str, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    [look] = inspect([path])
    found = look.broken or decode([(path, look.sha256)], (4, 4), 3)[0].broken
    assert found.startswith(reason)
    assert "\n" not in found


def test_unreadable_and_changed_files_have_a_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    assert inspect([missing])[0].broken == "cannot be read: No such file or directory"
    assert inspect([missing])[0].sha256 == ""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    [look] = inspect([path])
    path.write_bytes(JPEG)
    assert decode([(path, look.sha256), (missing, "")], (4, 4), 3)[0].broken == CHANGED
    path.unlink()
    assert decode([(path, look.sha256)], (4, 4), 3)[0].broken == CHANGED


def test_one_broken_file_does_not_disturb_the_next(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(PNG)
    bad.write_bytes(b"no")
    looks = inspect([bad, good])
    results = decode([(p, k.sha256) for p, k in zip([bad, good], looks, strict=True)], (2, 2), 3)
    assert [bool(result.broken) for result in results] == [True, False]
