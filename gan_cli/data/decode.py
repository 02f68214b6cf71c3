"""From an image file to pixels of one size. Runs in worker processes: no torch here.

Every image is turned upright (EXIF), laid on white where it is transparent, cut to the centre of
the wanted aspect and resampled once, with antialiasing (Lanczos). 16-bit grey is scaled to 8 bits.
Animations give their first picture.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_cli.data.geometry import centre_crop
from gan_cli.data.scan import OTHERS

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
CHANGED = "changed while it was read"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a look at a file tells without decoding it."""

    sha256: str = ""  # of its bytes; empty where they cannot be read
    channels: int = 0  # 1 grey, 3 colour, as the file is stored; 0 where it is broken
    broken: str = ""  # why it cannot be used


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of decoding a file."""

    pixels: bytes = b""  # uint8 [channels, height, width]
    broken: str = ""


def inspect(paths: list[Path]) -> list[Inspected]:
    """Hash files and see whether they are grey or colour, from their headers."""
    return [_inspect(path) for path in paths]


def _inspect(path: Path) -> Inspected:
    try:
        data = path.read_bytes()
    except OSError as cause:
        return Inspected(broken=f"cannot be read: {cause.strerror or cause}")
    sha256 = hashlib.sha256(data).hexdigest()
    if path.suffix.lower() in OTHERS:
        kind = path.suffix[1:].upper()
        return Inspected(sha256, broken=f"{kind} is not supported; convert it to PNG or JPEG")
    channels, broken = _guarded(lambda: _channels(_open(data)), data)
    return Inspected(sha256, channels or 0, broken)


def decode(jobs: list[tuple[Path, str]], size: tuple[int, int], channels: int) -> list[Decoded]:
    """Pixels of files, each with the hash it must still have, at `size` = (height, width)."""
    return [_decode(path, sha256, size, channels) for path, sha256 in jobs]


def _decode(path: Path, sha256: str, size: tuple[int, int], channels: int) -> Decoded:
    try:
        data = path.read_bytes()
    except OSError:
        return Decoded(broken=CHANGED)
    if hashlib.sha256(data).hexdigest() != sha256:
        return Decoded(broken=CHANGED)
    pixels, broken = _guarded(lambda: to_pixels(_open(data), size, channels), data)
    return Decoded(b"" if pixels is None else pixels.tobytes(), broken)


def _guarded(work: Callable[[], T], data: bytes) -> tuple[T | None, str]:
    """The result of `work`, or None and why the image is broken."""
    if not data:
        return None, "empty file"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images and odd metadata; errors stay
            return work(), ""
    except UnidentifiedImageError:
        return None, "not a PNG, JPEG, WebP or BMP image"
    except Exception as cause:  # a decoder fails on hostile bytes in any way it likes
        return None, f"damaged: {cause or type(cause).__name__}".replace("\n", " ")


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _channels(image: Image.Image) -> int:
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return 1 if (palette == palette[:, :1]).all() else 3
    return 1 if image.mode in GREY_MODES else 3


def to_pixels(image: Image.Image, size: tuple[int, int], channels: int) -> np.ndarray:
    """Decode an opened image into uint8 [channels, height, width]."""
    height, width = size
    # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is several times faster; from three
    # times the wanted size on nothing is lost. EXIF may still exchange the sides: both must do.
    image.draft(None, (3 * max(size), 3 * max(size)))
    image = ImageOps.exif_transpose(image)
    image = _flattened(image, "L" if channels == 1 else "RGB")
    top, left, kept_height, kept_width = centre_crop(image.height, image.width, height, width)
    box = (left, top, left + kept_width, top + kept_height)
    image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """8 bits, `mode` L or RGB, transparency laid on white."""
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """0 .. 65535 to 0 .. 255, rounded; the one value that a PNG may name transparent is white."""
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    scaled = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)
