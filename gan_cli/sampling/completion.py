"""Completion of images with holes: masks, seamless blending, and how near the result is."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path
from gan_cli.metrics.images import SPAN
from gan_cli.seeding import mix

MASKS = ("center", "left", "right", "top", "bottom", "random")
SHARE = 0.8  # of pixels that "random" takes away, as in Yeh et al. 2017
HALF = 0.5  # of grey: darker pixels of a mask's file are the hole


def known_pixels(mask: str, size: tuple[int, int], n: int, seed: int) -> Tensor:
    """1 where a pixel is known and 0 where it is to be completed, [n, 1, H, W].

    Args:
        mask: one of `MASKS`, or an image file whose dark pixels are the hole: the middle quarter of
            the area, a half, or 80 % of the pixels, others for each image.
        size: height and width.
        n: images.
        seed: of random masks.

    Raises:
        ConfigError: the mask has no hole, or nothing else.
        DataError: there is no such file.
    """
    height, width = size
    known = torch.ones(n, 1, height, width)
    match mask:
        case "center":
            known[..., height // 4 : -(-3 * height // 4), width // 4 : -(-3 * width // 4)] = 0
        case "left":
            known[..., : width // 2] = 0
        case "right":
            known[..., width // 2 :] = 0
        case "top":
            known[..., : height // 2, :] = 0
        case "bottom":
            known[..., height // 2 :, :] = 0
        case "random":
            for place in range(n):  # image i has the same one whatever their number
                stream = torch.Generator().manual_seed(mix(seed, place))
                known[place] = (torch.rand(1, height, width, generator=stream) >= SHARE).float()
        case _:
            known[:] = _file(mask, size)
    share = known.mean().item()
    if share in (0, 1):
        what = "everything is a hole" if share == 0 else "there is no hole (dark pixels)"
        raise ConfigError(f"--mask {mask}: {what}")
    return known


def _file(mask: str, size: tuple[int, int]) -> Tensor:
    from gan_cli.data.given import resized

    if not user_path(mask).exists():
        raise DataError(f"--mask {mask}: no such file, and none of {', '.join(MASKS)}")
    image = resized([mask], (1, *size)).values[0]
    return ((image + 1) / 2 >= HALF).float()


def blended(made: Tensor, images: Tensor, known: Tensor) -> Tensor:
    """Images whose holes have the gradients of `made` and meet the known pixels without a seam.

    The Poisson equation of Perez et al. 2003 (Yeh et al. 2017, Eq. 6), with known pixels as the
    boundary and no gradient across the image's edge; clamped to [-1, 1].

    Args:
        made: [n, C, H, W]; zeros for the smoothest surface.
        images: [n, C, H, W]; only their known pixels are used.
        known: [n, 1, H, W].
    """
    return torch.stack(
        [_solved(m, x, k[0] > 0) for m, x, k in zip(made, images, known, strict=True)]
    )


def _solved(made: Tensor, image: Tensor, known: Tensor) -> Tensor:
    height, width = known.shape
    hole = ~known.numpy()
    number = np.full((height, width), -1)
    number[hole] = np.arange(hole.sum())
    rows, columns, values = [], [], []
    guide, fixed = made.double().numpy(), image.double().numpy()
    right = np.zeros((int(hole.sum()), len(fixed)))
    for i, j in zip(*np.nonzero(hole), strict=True):
        row, around = number[i, j], 0
        for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if not (0 <= k < height and 0 <= m < width):
                continue
            around += 1
            right[row] += guide[:, i, j] - guide[:, k, m]
            if hole[k, m]:
                rows.append(row)
                columns.append(number[k, m])
                values.append(-1.0)
            else:
                right[row] += fixed[:, k, m]
        rows.append(row)
        columns.append(row)
        values.append(float(around))
    matrix = csr_matrix((values, (rows, columns)), shape=(len(right), len(right)))
    found = np.asarray(spsolve(matrix, right)).reshape(len(right), len(fixed))
    full = image.clone()
    full[:, torch.from_numpy(hole)] = torch.from_numpy(found.T).float().clamp(-1, 1)
    return full


def hole_psnr(made: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """PSNR of each image's hole in dB, float64 [n]; infinite where it is exact."""
    hole = (1 - known).double().expand(made.shape)
    error = (hole * (made.double() - true.double()).square()).flatten(1).sum(1)
    return 10 * (SPAN**2 / (error / hole.flatten(1).sum(1))).log10()
