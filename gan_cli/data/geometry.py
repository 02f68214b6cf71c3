"""Sizes of images: what a user may ask for, and what is cut off to get there. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from gan_cli.errors import ConfigError

Size = int | Sequence[int] | None


def parse_size(size: Size) -> tuple[int, int] | None:
    """`data.size` as (height, width); None where images keep their own size.

    Raises:
        ConfigError: it is neither a positive number nor two of them.
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
