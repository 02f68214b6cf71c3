"""Likeness of images to those that they should equal, pair by pair."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

WINDOW, DEVIATION = 11, 1.5  # of SSIM's Gaussian weights (Wang et al. 2004, section III-B)
K1, K2 = 0.01, 0.03  # its constants, likewise
SPAN = 2.0  # of pixel values in [-1, 1]


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, float64 [n]: 10 log10(2^2 / MSE).

    Infinite where both are equal.

    Args:
        made: images [n, C, H, W] in [-1, 1].
        true: of the same shape.
    """
    error = (made.double() - true.double()).square().flatten(1).mean(1)
    return 10 * (SPAN**2 / error).log10()


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """Mean structural similarity of each image, float64 [n] (Wang et al. 2004, Eqs. 13 to 17).

    On values from 0 to 1, over all windows that lie inside, of each channel by itself.

    Args:
        made: images [n, C, H, W] in [-1, 1], of at least 11 pixels a side.
        true: of the same shape.

    Raises:
        ValueError: they are smaller.
    """
    if min(made.shape[-2:]) < WINDOW:
        raise ValueError(f"images of {list(made.shape[-2:])} pixels are smaller than the window")
    luminance, structure = _similarity(*((x.double() + 1) / 2 for x in (made, true)))
    return (luminance * structure).flatten(1).mean(1)


SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents (Wang et al. 2003, section 3.2)


def ms_ssim(first: Tensor, second: Tensor) -> Tensor:
    """Multi-scale structural similarity of each pair, float64 [n] (Wang et al. 2003, Eq. 7).

    Five scales, each half of the last by means of 2x2 pixels, rounded up. As in the code of Odena
    et al. 2017, the edge of an odd side is repeated, and the window shrinks to an image that is
    smaller than it, with its deviation in proportion.
    Negative means count as 0.

    Args:
        first: images [n, C, H, W] in [-1, 1], of at least 16 pixels a side.
        second: of the same shape.

    Raises:
        ValueError: they are smaller.
    """
    if min(first.shape[-2:]) < 2 ** (len(SCALES) - 1):
        raise ValueError(f"images of {list(first.shape[-2:])} pixels have no five scales")
    x, y = ((images.double() + 1) / 2 for images in (first, second))
    found = torch.ones(len(x), dtype=torch.float64, device=x.device)
    for i, exponent in enumerate(SCALES):
        luminance, structure = _similarity(x, y)
        last = i == len(SCALES) - 1
        value = luminance * structure if last else structure
        found = found * value.flatten(1).mean(1).clamp(min=0) ** exponent
        if not last:
            x, y = halved(x), halved(y)
    return found


def halved(images: Tensor) -> Tensor:
    """Means of 2x2 pixels of images [n, C, H, W]; the edge of an odd side is repeated."""
    height, width = images.shape[-2:]
    return avg_pool2d(pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Likeness in luminance and in structure at each place, of images in [0, 1] (Eqs. 13 to 17)."""
    mean_x, mean_y = smoothed(x), smoothed(y)
    variance_x = smoothed(x * x) - mean_x.square()
    variance_y = smoothed(y * y) - mean_y.square()
    covariance = smoothed(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def smoothed(images: Tensor) -> Tensor:
    """Local means of images float64 [n, C, H, W] by SSIM's window, without a border.

    Of images below 11 pixels a side, the window is as large as they are.
    """
    size = min(WINDOW, *images.shape[-2:])
    places = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
    deviation = DEVIATION * size / WINDOW
    weights = (-places.square() / (2 * deviation**2)).exp()
    weights = weights / weights.sum()
    rows = images.flatten(0, 1).unsqueeze(1)
    rows = conv2d(conv2d(rows, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return rows.view(*images.shape[:2], *rows.shape[2:])


def laplacian(images: Tensor) -> Tensor:
    """The discrete Laplacian [n, C, H - 2, W - 2] of images [n, C, H, W]: four neighbours."""
    x = images.double()
    middle = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return around - 4 * middle
