"""Sizes of the maps between an image and the coarsest map, and the way back up."""

from __future__ import annotations

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.convolution import ConvTranspose2d


def require_images(data: DataSpec, family: str) -> None:
    """Refuse points."""
    if not data.is_image:
        raise ConfigError(
            f"network = {family}: works on images, and {data.name} holds points of dimension "
            f"{data.shape[0]}; use network=mlp"
        )


def pyramid(data: DataSpec, family: str, smallest: int = 3) -> list[tuple[int, int]]:
    """Sizes (height, width) from the image down to the coarsest map, each half of the last.

    Halving rounds down and goes on while both sides of the next map are at least `smallest`, so
    64 gives 64, 32, 16, 8, 4 and 28 gives 28, 14, 7, 3. A transposed convolution with the matching
    output padding goes the same way back, whatever the parity.

    Raises:
        ConfigError: points instead of images, or a side too small to be halved once.
    """
    require_images(data, family)
    height, width = data.shape[1:]
    least = 2 * smallest
    if min(height, width) < least:
        near = f"[{max(height, least)},{max(width, least)}]"
        raise ConfigError(
            f"data.size = [{height},{width}]: network={family} needs at least {least} pixels a "
            f"side; the nearest size that works is {near}, or use network=mlp"
        )
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= smallest:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def upsample(
    before: int, after: int, small: tuple[int, int], big: tuple[int, int], bias: bool = False
) -> ConvTranspose2d:
    """The transposed convolution 4x4 from a map of size `small` to one of size `big`."""
    odd = (big[0] - 2 * small[0], big[1] - 2 * small[1])
    return ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=bias)
