"""The Laplacian pyramid of images (Burt and Adelson 1983), and a distance of images by it.

Blurring is separable and linear, so a map is halved and widened by one matrix for its columns and
one for its rows; for small maps that is many times as fast as convolutions of a single channel.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
SMALLEST = 4  # pixels; a map with a smaller side is not halved further


@lru_cache
def halving(size: int) -> Tensor:
    """The matrix [ceil(size / 2), size] that blurs a line and keeps every second place.

    What lies outside is as the nearest place of the line.
    """
    matrix = torch.zeros(-(-size // 2), size, dtype=torch.float64)
    for row in range(len(matrix)):
        for k, weight in enumerate(BINOMIAL):
            matrix[row, min(max(2 * row + k - 2, 0), size - 1)] += weight
    return matrix


@lru_cache
def doubling(size: int) -> Tensor:
    """The matrix [size, ceil(size / 2)] of the way back: zeros between the places, then blurred.

    Each row is divided by its sum, so a constant stays what it is, also at the ends.
    """
    matrix = torch.zeros(size, -(-size // 2), dtype=torch.float64)
    for row in range(size):
        for k, weight in enumerate(BINOMIAL):
            place = row + k - 2
            if place % 2 == 0 and 0 <= place < size:
                matrix[row, place // 2] += weight
    return matrix / matrix.sum(1, keepdim=True)


def reduce(x: Tensor) -> Tensor:
    """Blurred and every second pixel kept, [n, c, h, w] to [n, c, ceil(h/2), ceil(w/2)]."""
    height, width = x.shape[2:]
    return halving(height).to(x) @ x @ halving(width).to(x).T


def expand(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The way back to `size`."""
    height, width = size
    return doubling(height).to(x) @ x @ doubling(width).to(x).T


def pyramid(x: Tensor) -> list[Tensor]:
    """L^0, L^1 ...: what each halving of images [n, c, h, w] loses, and at last what remains."""
    levels = []
    while min(x.shape[2:]) >= SMALLEST:
        small = reduce(x)
        levels.append(x - expand(small, (x.shape[2], x.shape[3])))
        x = small
    return [*levels, x]


def collapse(levels: list[Tensor]) -> Tensor:
    """The images whose pyramid this is."""
    x = levels[-1]
    for level in reversed(levels[:-1]):
        x = level + expand(x, (level.shape[2], level.shape[3]))
    return x


def lap1(x: Tensor, y: Tensor) -> Tensor:
    """sum_j 2^(2j) |L^j(x) - L^j(y)|_1, over the number of pixel values: [n], of [n, c, h, w].

    Bojanowski et al. 2018, after Ling and Okada 2006, who add up the levels as they are. The
    weights make up for the fewer pixels of coarser levels: each counts with about its mean.
    """
    total = x.new_zeros(len(x))
    for j, level in enumerate(pyramid(x - y)):  # the pyramid is linear
        total = total + 4**j * level.abs().flatten(1).sum(1)
    return total / x[0].numel()
