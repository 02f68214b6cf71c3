"""From an image file to pixels of one size; safe to call from several threads.

Every image is turned upright (EXIF), laid on a background where it is transparent, cropped to
the wanted aspect and resampled once, with antialiasing (Lanczos). 16 bits are scaled to
8, rounded. The first frame of an animation, or page of a document, is decoded.

The cost of a hostile file is bounded: at most `LARGEST_FILE` bytes are read, only the decoders of
`FORMATS` are tried, Pillow refuses more than 179 million pixels before it decodes any, and images
above `LARGE` pixels are decoded one at a time, so that their memory does not add up. Any
exception of a decoder marks that one file as broken. A crash in C or the system's out-of-memory
killer ends the program, as threads cannot contain them. Pillow releases the interpreter's lock
while it decodes and resizes.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from gan_cli.data.resize import centre_crop
from gan_cli.data.scan import KINDS, OTHERS, read_file

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"})
LARGEST_FILE = 1 << 30  # bytes that are read into memory
LARGE = 1 << 25  # pixels
ONE_AT_A_TIME = Lock()  # held while a large image is decoded
ROWS = 256  # that are scaled from 16 bits at once
LARGEST_WHOLE = 16_000_000  # pixels of an image at its own size
ORIENTATION, TURNED = 0x0112, 5  # EXIF: from 5 on, rows are columns
CHANGED = "changed while it was read"
WHITE = (255, 255, 255)
CENTER, RANDOM, WHOLE = CROPS = ("center", "random", "none")
HALVES = "halves"  # the centres of two images side by side, each cut and resized by itself
ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
OTHER_ORDER = {  # Pillow's names of 16-bit colours: the same, read in the other byte order
    f"{kind};16{order}": f"{kind};16{other}"
    for kind in ("RGB", "RGBA", "RGBX")
    for order, other in ORDERS.items()
} | {"LA;16B": "RGBA"}  # grey and alpha, each as its two bytes
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # of TIFF
PLANES, APART = 284, 2  # of TIFF
STEPS = {"L;2": 85, "L;4": 17}  # of 255 between the levels of grey of 2 and 4 bits

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # exceptions report the faults of files

Colour = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file's hash, and its number of channels and size from its header."""

    sha256: str = ""  # of its bytes; empty where they cannot be read
    channels: int = 0  # 1 grey, 3 colour, as the file is stored; 0 where it is broken
    size: tuple[int, int] = (0, 0)  # height and width, upright
    broken: str = ""  # why it cannot be used


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of decoding a file."""

    pixels: bytes = b""  # uint8 [channels, height, width]
    broken: str = ""


class UnsupportedError(Exception):
    """A valid image of an unsupported kind."""


def inspect(path: Path) -> Inspected:
    """Hash a file, and read from its header its size and whether it is grey or colour."""
    try:
        data = read_file(path, LARGEST_FILE + 1)
    except OSError as cause:
        return Inspected(broken=f"cannot be read: {cause.strerror or cause}")
    if len(data) > LARGEST_FILE:
        return Inspected(broken=f"too large: a file of more than {LARGEST_FILE >> 30} GB")
    sha256 = hashlib.sha256(data).hexdigest()
    if path.suffix.lower() in OTHERS:
        kind = path.suffix[1:].upper()
        return Inspected(sha256, broken=f"{kind} is not supported; convert it to PNG or JPEG")

    def work() -> tuple[int, tuple[int, int]]:
        image = _open(data)
        return _channels(image), upright_size(image)

    header, broken = _guarded(work, data)
    return Inspected(sha256, *(header or (0, (0, 0))), broken)


def decode(
    path: Path,
    sha256: str,
    size: tuple[int, int],
    channels: int,
    background: Colour = WHITE,
    crop: str = CENTER,
) -> Decoded:
    """The pixels of a file, which must still have this hash, at `size` = (height, width)."""
    try:
        data = read_file(path, LARGEST_FILE + 1)
    except OSError:
        return Decoded(broken=CHANGED)
    if hashlib.sha256(data).hexdigest() != sha256:
        return Decoded(broken=CHANGED)

    def work() -> np.ndarray:
        image = _open(data)
        low = _low_bytes(image, data)
        return to_pixels(image, size, channels, background, low, window, crop == HALVES)

    share = int(sha256[:8], 16) / 0x100000000
    window = {CENTER: 0.5, RANDOM: share, WHOLE: None, HALVES: 0.5}[crop]
    pixels, broken = _guarded(work, data)
    return Decoded(b"" if pixels is None else pixels.tobytes(), broken)


def decode_whole(path: Path, channels: int) -> tuple[np.ndarray | None, str]:
    """The pixels of one file at its own size, uint8 [channels, height, width]; or why not."""
    try:
        data = read_file(path, LARGEST_FILE + 1)
    except OSError as cause:
        return None, f"cannot be read: {cause.strerror or cause}"

    def work() -> np.ndarray:
        image = _open(data)
        low = _low_bytes(image, data)  # before EXIF, which may decode the image
        if image.width * image.height <= LARGEST_WHOLE:
            image.getexif()
        height, width = upright_size(image)
        if height * width > LARGEST_WHOLE:
            raise UnsupportedError(
                f"too large: {height * width / 1e6:,.0f} million pixels; at most "
                f"{LARGEST_WHOLE / 1e6:,.0f} million are translated"
            )
        return to_pixels(image, (height, width), channels, WHITE, low)

    return _guarded(work, data)


def _guarded(work: Callable[[], T], data: bytes) -> tuple[T | None, str]:
    """The result of `work`, or None and why the image is broken."""
    if not data:
        return None, "empty file"
    try:
        return work(), ""
    except UnidentifiedImageError:
        if data[:4] in (b"II*\0", b"MM\0*"):
            return None, "a TIFF of a kind that cannot be read; convert it to PNG"
        return None, f"not a {KINDS} image"
    except UnsupportedError as cause:
        return None, str(cause)
    except Image.DecompressionBombError as cause:
        pixels, *limit = [f"{int(n) / 1e6:,.0f}" for n in re.findall("[0-9]+", str(cause))]
        return None, f"too large: {pixels} million pixels; at most {limit[0]} million are read"
    except Exception as cause:  # a decoder fails on hostile bytes in any way it likes
        return None, f"damaged: {cause or type(cause).__name__}".replace("\n", " ")


@contextmanager
def silenced(tiffs: bool) -> Iterator[None]:
    """Drop the warnings of Pillow and, where there are TIFFs, what libtiff writes to stderr.

    Both affect the whole process, so one thread does this for all. Python's own stderr still works.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large images and odd metadata; errors are raised
        try:
            kept = os.dup(2) if tiffs else -1
        except OSError:  # there is no stderr
            kept = -1
        if kept < 0:
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with open(kept, "w", errors="replace", closefd=False) as stream:
            ours = redirect_stderr(stream) if _is_stderr(sys.stderr) else nullcontext()
            try:
                os.dup2(nowhere, 2)
                with ours:
                    yield
            finally:
                os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _is_stderr(stream: object) -> bool:
    try:
        return isinstance(stream, io.TextIOBase) and stream.fileno() == 2
    except (OSError, ValueError):
        return False


def _open(data: bytes) -> ImageFile.ImageFile:
    """The image, not yet decoded, with 8 bits or as 16-bit grey."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.mode not in GREY_MODES | COLOUR_MODES:
        what = "32-bit values" if image.mode in ("I", "F") else f"the colour mode {image.mode}"
        raise UnsupportedError(f"{what} cannot be read; convert it to 8 or 16 bits, grey or RGB")
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == APART and max(tags.get(BITS, (8,))) > 8:  # Pillow reads 8 bits of them
        raise UnsupportedError("colours of 16 bits in planes cannot be read; interleave them")
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width once it is turned as EXIF says.

    A PNG file is not decoded for it, so EXIF that follows its pixels counts only if read before.
    """
    known = image.format != "PNG" or not {"exif", "Raw profile type exif"}.isdisjoint(image.info)
    turned = known and image.getexif().get(ORIENTATION, 1) >= TURNED
    return (image.width, image.height) if turned else (image.height, image.width)


def _channels(image: Image.Image) -> int:
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return 1 if (palette == palette[:, :1]).all() else 3
    # (Pillow gives a PNG of 16-bit grey with alpha as colour.)
    return 1 if image.mode in GREY_MODES or _raw_mode(image).startswith("LA") else 3


def _raw_mode(image: Image.Image) -> str:
    """Pillow's raw mode: how samples are stored."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    tile = tiles[0].args if tiles else ""
    return str(tile[0] if isinstance(tile, tuple) and tile else tile)


def _low_bytes(image: Image.Image, data: bytes) -> Image.Image | None:
    """The lower bytes of 16-bit colours, of which Pillow decodes only the upper ones.

    Reading the samples in the other byte order gives them. None for all other images.
    """
    raw = _raw_mode(image)
    if image.mode not in ("RGB", "RGBA") or raw not in OTHER_ORDER:
        return None
    low = _open(data)
    tile = low.tile[0]
    rest = tile.args[1:] if isinstance(tile.args, tuple) else None
    args = OTHER_ORDER[raw] if rest is None else (OTHER_ORDER[raw], *rest)
    low.tile = [one._replace(args=args) for one in low.tile]
    return low


def to_pixels(
    image: Image.Image,
    size: tuple[int, int],
    channels: int,
    background: Colour = WHITE,
    low: Image.Image | None = None,
    window: float | None = 0.5,
    halves: bool = False,
) -> np.ndarray:
    """Decode an opened image into uint8 [channels, height, width].

    Args:
        image: as opened.
        size: height and width.
        channels: 1 or 3.
        background: colour behind transparent pixels.
        low: the lower bytes of its colours, where these have 16 bits.
        window: where to crop, from 0 (top or left) to 1; None: nothing is cut off.
        halves: there are two images side by side, each of half the width.
    """
    # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is several times faster; from three
    # times the target size on nothing is lost. EXIF may exchange the sides, so both must suffice.
    if not halves:  # which would flow into one another
        image.draft(None, (3 * max(size), 3 * max(size)))
    with ONE_AT_A_TIME if image.width * image.height > LARGE else nullcontext():
        image = _flattened(_upright(image, low), "L" if channels == 1 else "RGB", background)
        if not halves:
            return _resized(image, size, channels, window)
        middle, (height, width) = image.width // 2, size
        edges = ((0, middle), (middle, 2 * middle))
        parts = (image.crop((left, 0, right, image.height)) for left, right in edges)
        return np.concatenate(
            [_resized(part, (height, width // 2), channels, window) for part in parts], axis=2
        )


def _resized(
    image: Image.Image,
    size: tuple[int, int],
    channels: int,
    window: float | None,
) -> np.ndarray:
    height, width = size
    kept_height, kept_width = image.height, image.width
    if window is not None:
        _, _, kept_height, kept_width = centre_crop(image.height, image.width, height, width)
    top, left = (
        _place(rest, window) for rest in (image.height - kept_height, image.width - kept_width)
    )
    box = (left, top, left + kept_width, top + kept_height)
    image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)


def _place(rest: int, window: float | None) -> int:
    """The first of the rows or columns that are kept, where `rest` of them are cut off."""
    if window is None or window == 0.5:
        return rest // 2
    return min(int((rest + 1) * window), rest)  # each of the rest + 1 places is as likely


def _upright(image: Image.Image, low: Image.Image | None) -> Image.Image:
    """The image with 8 bits, turned as EXIF says."""
    if image.mode.startswith("I;16"):
        return _from_16_bit_grey(image)
    if low is not None:
        return _from_16_bit_colour(image, low)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and (step := STEPS.get(_raw_mode(image))):
        image.info["transparency"] = transparent * step  # Pillow scales the levels alone
    return ImageOps.exif_transpose(image)


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    """0 .. 65535 (0 .. 4095 in a TIFF of 12 bits) to 0 .. 255, rounded."""
    tags, transparent = getattr(image, "tag_v2", {}), image.info.get("transparency")
    largest = (1 << tags.get(BITS, (16,))[0]) - 1
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    image = ImageOps.exif_transpose(image)
    grey, alpha = _empty(image, "L"), _empty(image, "L")
    for place, (values,) in _strips(image):
        scaled = (values.astype(np.uint32) * 255 + largest // 2) // largest
        grey.paste(_eight_bits(255 - scaled if inverted else scaled), place)
        alpha.paste(_eight_bits(np.where(values == transparent, 0, 255)), place)
    if isinstance(transparent, int):  # the one value that a PNG may name
        grey.putalpha(alpha)
    return grey


def _from_16_bit_colour(image: Image.Image, low: Image.Image) -> Image.Image:
    """The upper and the lower bytes of each value together as 0 .. 255, rounded."""
    grey, transparent = _raw_mode(image).startswith("LA"), image.info.get("transparency")
    image, low = ImageOps.exif_transpose(image), ImageOps.exif_transpose(low)
    named = isinstance(transparent, tuple) and image.mode == "RGB"  # the one colour of a PNG
    key = np.array(transparent if named else (0, 0, 0), np.int64)
    colour, alpha = _empty(image, image.mode), _empty(image, "L")
    for place, (upper, lower) in _strips(image, low):
        lower = lower[..., [1, 1, 1, 3]] if grey else lower
        # v / 257 = (256 u + l) / 257 = u + (l - u) / 257
        apart = lower.astype(np.int16) - upper
        colour.paste(_eight_bits(upper + (apart >= 129) - (apart <= -129)), place)
        if named:
            same = ((upper == key >> 8) & (lower == key & 255)).all(axis=2)
            alpha.paste(_eight_bits(np.where(same, 0, 255)), place)
    if named:
        colour.putalpha(alpha)
    return colour


def _strips(*images: Image.Image) -> Iterator[tuple[tuple[int, int], list[np.ndarray]]]:
    """Images of one size as arrays of a few rows, which take little memory, and their places."""
    width, height = images[0].size
    for top in range(0, height, ROWS):
        box = (0, top, width, min(height, top + ROWS))
        yield (0, top), [np.asarray(image.crop(box)) for image in images]


def _empty(image: Image.Image, mode: str) -> Image.Image:
    return Image.new(mode, image.size)


def _eight_bits(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def _flattened(image: Image.Image, mode: str, background: Colour) -> Image.Image:
    """8 bits, `mode` L or RGB, transparency laid on the background."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        behind = Image.new("RGB", image.size, background)
        behind.paste(image, mask=image.getchannel("A"))
        image = behind
    return image if image.mode == mode else image.convert(mode)
