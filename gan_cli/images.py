"""Tensors to pictures: 8-bit images, tables of images, PNG files and animations."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.files import replacing, write
from gan_cli.foreign import open_file

if TYPE_CHECKING:
    from PIL.Image import Image
from gan_cli.formatting import needs

GUTTER = 255  # white between the images of a table
ANIMATIONS = (".gif", ".webp", ".mp4")


def to_uint8(images: Tensor) -> ndarray:
    """Images [n, c, h, w] in [-1, 1] as uint8 [n, h, w, c], rounded and clamped.

    NaN is painted as a black and white checkerboard of single pixels: a diverged network must be
    seen, and a picture must not end the training that it shows.
    """
    if images.ndim != 4:
        raise ValueError(f"images of shape {list(images.shape)}: [n, c, h, w] is required")
    images = images.detach().float()
    rows = torch.arange(images.shape[2], device=images.device)[:, None]
    columns = torch.arange(images.shape[3], device=images.device)
    checks = ((rows + columns) % 2).float() * 2 - 1  # [h, w]
    images = torch.where(images.isnan(), checks, images)
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def tile(images: Tensor, columns: int, margin: int = 2, zoom: int = 1) -> ndarray:
    """A table of images [n, c, h, w] in [-1, 1], row by row, as uint8 [H, W, c].

    Margins, the outer one included, and the cells that the last row leaves empty are white. `zoom`
    magnifies the images, not the margins, by a whole factor with hard pixels.
    """
    if len(images) == 0 or columns < 1 or margin < 0 or zoom < 1:
        raise ValueError(
            f"{len(images)} images in columns = {columns}, margin = {margin}, zoom = {zoom}: "
            "at least one image, one column, no margin below 0 and no zoom below 1"
        )
    cells = to_uint8(images).repeat(zoom, axis=1).repeat(zoom, axis=2)
    n, h, w, c = cells.shape
    rows = math.ceil(n / columns)
    table = np.full((rows * columns, h + margin, w + margin, c), GUTTER, np.uint8)
    table[:n, margin:, margin:] = cells
    table = table.reshape(rows, columns, h + margin, w + margin, c).swapaxes(1, 2)
    table = table.reshape(rows * (h + margin), columns * (w + margin), c)
    return np.pad(table, ((0, margin), (0, margin), (0, 0)), constant_values=GUTTER)


def write_png(path: Path, picture: ndarray, durable: bool = True) -> None:
    """Write a uint8 picture [h, w, c] with 1, 3 or 4 channels, whole or not at all.

    Args:
        path: where to.
        picture: what.
        durable: wait until it is on the disk; False for thousands of them.

    Raises:
        UserError: the file cannot be written.
    """
    image = _pillow(picture)
    with replacing(path, durable=durable) as file:
        image.save(file, format="PNG")


def read_png(path: Path) -> ndarray:
    """A PNG file as uint8 [h, w, 3].

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it cannot be read, is a link, or is not whole.
    """
    from PIL import Image

    with open_file(path) as file:
        try:
            with Image.open(file, formats=["PNG"]) as picture:
                return np.array(picture.convert("RGB"))
        except Exception as cause:  # damaged bytes can fail in any way
            raise CheckpointError(f"{path}: is not an intact picture") from cause


def write_gif(path: Path, frames: Sequence[ndarray], seconds: float) -> None:
    """Write an endless loop of uint8 pictures [h, w, c], each shown for `seconds` (to 1/100 s).

    Raises:
        UserError: the file cannot be written.
    """
    if not frames:
        raise ValueError("a GIF needs at least one frame")
    _save(path, frames, "GIF", max(round(seconds * 100), 1) * 10, disposal=1)


def _save(path: Path, frames: Sequence[ndarray], kind: str, ms: int, **options: Any) -> None:
    """Write an endless animation by Pillow, each frame for `ms` milliseconds."""
    first, *rest = [_pillow(frame) for frame in frames]
    options |= {"save_all": True, "append_images": rest, "duration": ms, "loop": 0}
    with replacing(path) as file:
        first.save(file, format=kind, **options)


def check_animation(path: Path) -> None:
    """Check, before any work is done, that an animation of this kind can be written.

    Raises:
        ConfigError: what writes MP4 is not installed.
    """
    if path.suffix.lower() == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401 # pyright: ignore[reportMissingImports]
            from imageio import v2  # noqa: F401 # pyright: ignore[reportMissingImports]
        except ImportError as cause:
            raise ConfigError(
                f"{path}: {needs('imageio with ffmpeg', 'video')}; .gif and .webp need nothing"
            ) from cause


def write_animation(path: Path, frames: Sequence[ndarray], seconds: float) -> None:
    """Write frames as GIF, WebP (both lossless and endless) or MP4 (H.264), by the ending.

    Args:
        path: where to.
        frames: uint8 pictures [h, w, c] of one size.
        seconds: how long each is shown.

    Raises:
        ConfigError: what writes MP4 is not installed.
        UserError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".gif":
        write_gif(path, frames, seconds)
    elif suffix == ".webp":
        _save(path, frames, "WEBP", max(1, round(seconds * 1000)), lossless=True)
    else:
        check_animation(path)
        write(path, _mp4(frames, seconds))


def _mp4(frames: Sequence[ndarray], seconds: float) -> bytes:
    from imageio import v2  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as folder:  # ffmpeg writes to files alone
        place = Path(folder) / "frames.mp4"
        options = {"codec": "libx264", "quality": 8, "macro_block_size": 1}
        made: Any = v2.get_writer(place, fps=1 / seconds, **options)
        with made as writer:
            for frame in frames:
                # Sides must be even, and colours are stored for 2x2 pixels.
                odd = [(0, side % 2) for side in frame.shape[:2]]
                even = np.pad(frame, (*odd, (0, 0)), constant_values=GUTTER)
                writer.append_data(np.broadcast_to(even, (*even.shape[:2], 3)))
        return place.read_bytes()


def _pillow(picture: ndarray) -> Image:
    from PIL.Image import fromarray

    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"picture of type {picture.dtype} and shape {list(picture.shape)}: "
            "uint8 [h, w, c] with 1, 3 or 4 channels is required"
        )
    return fromarray(np.ascontiguousarray(picture[:, :, 0] if picture.shape[2] == 1 else picture))
