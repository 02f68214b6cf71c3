import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import BLUE, RED, encoded, halves, noise, png, png16, tiff
from PIL import Image

from gan_cli.data import decode as module
from gan_cli.data.decode import CHANGED, decode, decode_whole, inspect, silenced, to_pixels


def pixels(image: Image.Image, size: tuple[int, int] | None = None, channels: int = 3):
    return to_pixels(image, size or (image.height, image.width), channels)


def through(tmp_path: Path, data: bytes, size=(4, 4), channels=3, name="a.png"):
    """The inspection of a file and its decoded pixels, [channels, height, width]."""
    path = tmp_path / name
    path.write_bytes(data)
    look = inspect(path)
    result = decode(path, look.sha256, size, channels)
    assert not result.broken, result.broken
    return look, np.frombuffer(result.pixels, np.uint8).reshape(channels, *size)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_come_back_exactly(tmp_path: Path, kind: str, channels: int) -> None:
    source = noise(6, 5, channels)
    if kind == "GIF" and channels == 3:
        source[:] = source[:, :1]  # no more colours than its palette holds
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(source), kind, **options)
    look, result = through(tmp_path, data, (6, 5), channels)
    assert look.channels == (3 if kind == "WEBP" else channels)  # WebP has no grey
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


def scaled(values: np.ndarray, bits: int = 16) -> np.ndarray:
    """Each value in 8 bits, [channels, height, width]."""
    return np.round(values / (2**bits - 1) * 255).astype(np.uint8).transpose(2, 0, 1)


def samples(channels: int, bits: int = 16) -> np.ndarray:
    """uint16 [5, 7, channels], with the values at which rounding and cutting differ."""
    values = np.random.default_rng(0).integers(0, 1 << bits, (5, 7, channels))
    values[0, 0], values[0, 1], values[0, 2] = 255, (1 << bits) - 1, 129
    return values.astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_pngs_are_rounded(tmp_path: Path, channels: int) -> None:
    values, colours = samples(channels), channels - 1 + channels % 2
    if channels % 2 == 0:
        values[..., -1] = 65535
    look, result = through(tmp_path, png16(values), (5, 7), colours)
    assert look.channels == colours
    assert np.array_equal(result, scaled(values[..., :colours]))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiffs_of_8_and_16_bits(tmp_path: Path, bits: int, channels: int, order: str) -> None:
    values = samples(channels, bits)
    if channels == 4:
        values[..., 3] = (1 << bits) - 1
    colours = min(channels, 3)
    data = tiff(values, bits, order=order)
    look, result = through(tmp_path, data, (5, 7), colours, "a.tif")
    assert look.channels == colours
    assert np.array_equal(result, scaled(values[..., :colours], bits))


def test_tiffs_of_12_bits_and_with_white_as_zero(tmp_path: Path) -> None:
    values = samples(1, 12)
    _, result = through(tmp_path, tiff(values, 12), (5, 7), 1, "a.tif")
    assert np.array_equal(result, scaled(values, 12))
    for bits in (8, 16):
        values = samples(1, bits)
        _, result = through(tmp_path, tiff(values, bits, photometric=0), (5, 7), 1, "a.tif")
        assert np.array_equal(result, 255 - scaled(values, bits))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_tiffs_are_turned_once(tmp_path: Path, compression: str) -> None:
    for values in (noise(2, 3, 3), samples(1)[:2, :3, 0]):
        image = Image.fromarray(values)
        data = encoded(image, "TIFF", compression=compression, tiffinfo={0x0112: 6})
        look, result = through(tmp_path, data, (3, 2), 3 if values.ndim == 3 else 1, "a.tif")
        values = values.reshape(2, 3, -1)
        wide = scaled(values) if values.dtype == np.uint16 else values.transpose(2, 0, 1)
        assert np.array_equal(result, np.rot90(wide, -1, (1, 2)))
        assert look.channels == len(wide)


def test_16_bit_colours_are_turned_by_exif(tmp_path: Path) -> None:
    values, exif = samples(3), Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + block))
    data = png16(values)
    _, result = through(tmp_path, data[:33] + chunk + data[33:], (7, 5))
    assert np.array_equal(result, np.rot90(scaled(values), -1, (1, 2)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_16_bit_value_that_png_names_transparent_shows_the_background(
    tmp_path: Path, channels: int
) -> None:
    values = samples(channels)
    values[1, 1] = 700
    values[1, 2] = 701  # its upper byte is the same
    data = png16(values, (700,) * channels)
    assert through(tmp_path, data, (5, 7))[1][:, 1, 1].tolist() == [255] * 3
    assert through(tmp_path, data, (5, 7))[1][:, 1, 2].tolist() == [3] * 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_transparency_is_laid_on_the_background(kind: str) -> None:
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    image.paste((*BLUE, 255), (0, 0, 2, 4))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(image, kind, **options)
    for background in ((0, 0, 0), (1, 200, 30)):
        result = to_pixels(Image.open(io.BytesIO(data)), (4, 4), 3, background)
        assert result[:, 0, 3].tolist() == list(background)
        assert result[:, 0, 0].tolist() == list(BLUE)


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


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF"])
def test_animations_give_their_first_picture(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    _, result = through(tmp_path, data)
    assert result[:, 0, 0].tolist() == list(RED)


PNG = encoded(Image.fromarray(noise(40, 40, 3)), "PNG")
JPEG = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"", "a.png", "empty file"),
        (b"<html>", "a.jpg", "not a PNG, JPEG, WebP, BMP, GIF or TIFF image"),
        (b"x", "a.avif", "AVIF is not supported; convert it"),
        (encoded(Image.fromarray(noise(40, 40, 1)), "GIF")[:999], "a.gif", "damaged: "),
        (encoded(halves(40, 40), "TIFF")[:999], "a.tif", "damaged: "),
        (encoded(Image.new("F", (2, 2)), "TIFF"), "a.tif", "32-bit values cannot be read"),
        (encoded(Image.new("I", (2, 2)), "TIFF"), "a.tif", "32-bit values cannot be read"),
        (encoded(Image.new("LAB", (2, 2)), "TIFF"), "a.tif", "the colour mode LAB cannot be"),
        (PNG[: len(PNG) // 2], "a.png", "damaged: "),
        (JPEG[: len(JPEG) // 2], "a.jpg", "damaged: "),
        (PNG[:60] + b"XX" + PNG[62:], "a.png", "damaged: "),
        (
            encoded(Image.new("1", (20000, 20000)), "PNG"),
            "a.png",
            "too large: 400 million pixels; at most 179",
        ),
    ],
)
def test_broken_files_have_a_reason(tmp_path: Path, data: bytes, name: str, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    look = inspect(path)
    found = look.broken or decode(path, look.sha256, (4, 4), 3).broken
    assert found.startswith(reason)
    assert "\n" not in found


def test_libraries_do_not_complain_of_a_broken_file_themselves(tmp_path: Path, capfd) -> None:
    data = bytearray(encoded(Image.fromarray(noise(40, 40, 3)), "TIFF", compression="tiff_lzw"))
    data[200:2000] = bytes(1800)
    many = tiff(samples(3))
    many = many.replace(struct.pack("<HHIH", 277, 3, 1, 3), struct.pack("<HHIH", 277, 3, 1, 65281))
    with silenced(tiffs=True):
        for broken in (bytes(data), many):
            path = tmp_path / "a.tif"
            path.write_bytes(broken)
            look = inspect(path)
            assert look.broken or decode(path, look.sha256, (4, 4), 3).broken
    os.write(2, b"stderr is back")
    assert capfd.readouterr() == ("", "stderr is back")


def test_our_own_messages_are_seen_while_libraries_are_silenced(tmp_path: Path) -> None:
    code = """
import os, sys
from gan_cli.data.decode import silenced
with silenced(tiffs=True):
    os.write(2, b"from C")
    print("ours", file=sys.stderr)
os.write(2, b"after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "ours\nafter")


def test_unreadable_and_changed_files_have_a_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    assert inspect(missing).broken == "cannot be read: No such file or directory"
    assert inspect(missing).sha256 == ""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    look = inspect(path)
    path.write_bytes(JPEG)
    assert decode(path, look.sha256, (4, 4), 3).broken == CHANGED
    assert decode(missing, "", (4, 4), 3).broken == CHANGED
    path.unlink()
    assert decode(path, look.sha256, (4, 4), 3).broken == CHANGED


def test_whole_images_of_16_bits_are_rounded(tmp_path: Path) -> None:
    values = samples(3)
    (tmp_path / "a.png").write_bytes(png16(values))
    whole, broken = decode_whole(tmp_path / "a.png", 3)
    assert not broken
    assert whole is not None
    assert np.array_equal(whole, scaled(values))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_level_of_few_bits_that_png_names_transparent(tmp_path: Path, bits: int) -> None:
    most = (1 << bits) - 1
    header = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, most << (8 - bits)]))  # the largest level, then black
    data = png((b"IHDR", header), (b"tRNS", struct.pack(">H", most)), (b"IDAT", rows))
    _, result = through(tmp_path, data, (1, 2), 1)
    assert result.ravel().tolist() == [255, 0]
    (tmp_path / "b.png").write_bytes(data)
    behind = decode(
        tmp_path / "b.png", inspect(tmp_path / "b.png").sha256, (1, 2), 1, (128, 128, 128)
    )
    assert list(behind.pixels) == [128, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_tiffs_with_their_colours_in_planes(tmp_path: Path, bits: int) -> None:
    values = samples(3, bits).astype(np.uint16 if bits == 16 else np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(values, bits, planes=True))
    look = inspect(tmp_path / "a.tif")
    if bits == 16:
        assert look.broken == "colours of 16 bits in planes cannot be read; interleave them"
    else:
        _, result = through(tmp_path, tiff(values, bits, planes=True), (5, 7), name="a.tif")
        assert np.array_equal(result, values.transpose(2, 0, 1))


def test_a_random_crop_may_be_any(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.arange(10, dtype=np.uint8)[:, None], 8, 1))
    shares = np.linspace(0, 1, 300, endpoint=False)
    tops = [int(to_pixels(image, (8, 8), 1, window=share)[0, 0, 0]) for share in shares]
    assert [tops.count(top) for top in (0, 1, 2)] == [100, 100, 100]


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEGs count as what they are reduced to before decoding."""
    held: list[bool] = []
    really = module._resized

    def resized(*given):
        held.append(module.ONE_AT_A_TIME.locked())
        return really(*given)

    monkeypatch.setattr(module, "_resized", resized)
    monkeypatch.setattr(module, "LARGE", 40 * 40 - 1)
    for data in (PNG, JPEG, encoded(Image.fromarray(noise(39, 40, 3)), "PNG")):
        pixels(Image.open(io.BytesIO(data)), (2, 2))
    assert held == [True, False, False]
    assert not module.ONE_AT_A_TIME.locked()
