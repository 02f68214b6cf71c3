"""`data.size`: parsing it, and resizing whole image sets in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gan_cli.errors import ConfigError, DataError

Size = int | Sequence[int] | None
CHUNK_VALUES = 1 << 22  # floats at once: a few megabytes stay in the CPU's cache


def parse_size(size: Size) -> tuple[int, int] | None:
    """`data.size` as (height, width); None where images keep their own size.

    Raises:
        ConfigError: not a positive number or two of them.
    """
    if size is None:
        return None
    pair: list[object] = []
    if isinstance(size, int):
        pair = [size, size]
    elif isinstance(size, Sequence) and not isinstance(size, str):
        pair = list(size)
    match pair:
        case [int(height), int(width)] if height > 0 < width and bool not in map(type, pair):
            return height, width
    raise ConfigError(f"data.size = {size}: a positive number or [height,width] is needed")


def centre_crop(
    height: int, width: int, target_height: int, target_width: int
) -> tuple[int, int, int, int]:
    """The largest centred part with the target's aspect: (top, left, height, width) in pixels."""
    kept_height = min(height, max(1, round(width * target_height / target_width)))
    kept_width = min(width, max(1, round(height * target_width / target_height)))
    return (height - kept_height) // 2, (width - kept_width) // 2, kept_height, kept_width


def resized(images: Tensor, size: Size) -> Tensor:
    """Images [N, C, H, W], uint8, at `data.size`; unchanged where it is None or equals theirs.

    The centre of the target's aspect ratio is cropped, then resampled bilinearly with antialiasing.

    Raises:
        ConfigError: `size` is not a size.
        DataError: the result would not fit into memory.
    """
    target = parse_size(size)
    count, channels, height, width = images.shape
    if target is None or target == (height, width):
        return images
    _check_memory(size, count, channels * target[0] * target[1])
    top, left, kept_height, kept_width = centre_crop(height, width, *target)
    images = images[:, :, top : top + kept_height, left : left + kept_width]
    if images.shape[2:] == target:
        return images.contiguous()
    result = torch.empty((count, channels, *target), dtype=torch.uint8)
    step = max(1, CHUNK_VALUES // (channels * max(kept_height * kept_width, target[0] * target[1])))
    for start in range(0, count, step):
        piece = images[start : start + step].float()
        piece = interpolate(piece, target, mode="bilinear", antialias=True)
        result[start : start + step] = piece.round_().clamp_(0, 255)
    return result


def _check_memory(size: Size, count: int, each: int) -> None:
    if not hasattr(os, "sysconf"):
        return  # not POSIX
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if count * each > memory * 0.8:
        raise DataError(
            f"data.size = {size}: {count:,} images of that size take {count * each / 1e9:,.0f} GB, "
            f"and this machine has {memory / 1e9:,.0f} GB; choose a smaller size"
        )
