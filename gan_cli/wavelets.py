"""Orthogonal wavelets along an axis of images: resampling and bands of frequencies, as matrices.

The symlets of two and six vanishing moments (Daubechies 1992, tables 6.1 and 6.3), as adaptive
augmentation has them (Karras et al. 2020b, appendix B). Images continue beyond their borders
mirrored at the outermost pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

ROOT = np.sqrt(3.0)
SYMLET_2 = np.array([1 - ROOT, 3 - ROOT, 3 + ROOT, 1 + ROOT]) / np.sqrt(32.0)
SYMLET_6 = np.array(
    [
        *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
        *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
        *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
    ]
)
REACH = len(SYMLET_6) // 4  # pixels on each side of an image that its halved copy depends on
BANDS = 4


def doubling(size: int) -> Tensor:
    """From `size` pixels to twice as many, of them and their mirror images on both sides.

    The result, [6 size - 4, size], begins 2 (size - 1) half pixels before the first pixel. Its
    pixel m is the sum over pixels k of 2 f[5 + m - 2k] x[k], where f is the symlet of sum 1.
    """
    wide = 3 * size - 2
    index = len(SYMLET_6) // 2 - 1 + np.arange(2 * wide)[:, None] - 2 * np.arange(wide)[None]
    return _tensor(2 * _taps(_low_pass(), index) @ mirrored(size, size - 1))


def halving(size: int) -> Tensor:
    """Back to `size` pixels, from those and `REACH` more on each side: [size, 2 (size + 6)].

    Pixel k is the sum over m of f[m - 2k - 1] y[m].
    """
    index = np.arange(2 * (size + 2 * REACH))[None] - 2 * np.arange(size)[:, None] - 1
    return _tensor(_taps(_low_pass(), index))


def bands(size: int) -> Tensor:
    """The parts of `size` pixels in four octaves of frequencies, low to high: [4, size, size].

    Up to pi / 8, pi / 4, pi / 2 and pi. The parts' sum is the whole.
    """
    filters = filter_bank()
    margin = filters.shape[1] // 2
    index = np.arange(size + 2 * margin)[None] - np.arange(size)[:, None]
    whole = mirrored(size, margin)
    return _tensor(np.stack([_taps(one, index) @ whole for one in filters]))


def filter_bank() -> ndarray:
    """The symmetric filters of the bands, [4, 43].

    With L(z) = H(z) H(1/z) / 2 of the symlet of two moments and U(z) = L(-z), which add up to 1,
    each octave is halved in turn: the lower bands F(z) become F(z^2) L(z), the next is U(z).
    """
    low = np.convolve(SYMLET_2, SYMLET_2[::-1]) / 2
    high = low * (-1.0) ** (np.arange(len(low)) - len(low) // 2)
    found = [np.ones(1)]
    for _ in range(BANDS - 1):
        stretched = [np.insert(one, np.arange(1, len(one)), 0.0) for one in found]
        found = [*(np.convolve(one, low) for one in stretched), high]
    length = len(found[0])
    return np.stack([np.pad(one, (length - len(one)) // 2) for one in found])


def mirrored(size: int, margin: int) -> ndarray:
    """`size` pixels with `margin` more on both sides: [size + 2 margin, size], ones and zeros."""
    period = max(1, 2 * (size - 1))
    place = np.arange(-margin, size + margin) % period
    return np.eye(size)[np.minimum(place, period - place)]


def _low_pass() -> ndarray:
    return SYMLET_6 / SYMLET_6.sum()


def _taps(line: ndarray, index: ndarray) -> ndarray:
    """The filter's values at `index`, and 0 beyond its ends."""
    inside = (index >= 0) & (index < len(line))
    return np.where(inside, line[index.clip(0, len(line) - 1)], 0.0)


def _tensor(matrix: ndarray) -> Tensor:
    return torch.from_numpy(matrix).float()
