"""Resizing whole sets of images in memory."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gan_cli.data.geometry import Size, centre_crop, parse_size
from gan_cli.errors import DataError

CHUNK_VALUES = 1 << 22  # floats at once: a few megabytes stay in the CPU's cache


def resized(images: Tensor, size: Size) -> Tensor:
    """Images [N, C, H, W], uint8, at `data.size`; unchanged where it is None or already theirs.

    The centre with the wanted aspect is cut out, then resampled bilinearly with antialiasing.

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
        return  # not POSIX: the system says so itself when memory ends
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if count * each > memory * 0.8:
        raise DataError(
            f"data.size = {size}: {count:,} images of that size take {count * each / 1e9:,.0f} GB, "
            f"and this machine has {memory / 1e9:,.0f} GB; choose a smaller size"
        )
