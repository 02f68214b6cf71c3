"""Differentiable augmentation of a discriminator's inputs (Zhao et al. 2020).

Every sample gets its own transformation, drawn at each call from torch's random generator.
Gradients flow through, so the generator learns from augmented fakes, as in Fig. 4 there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def brightness(x: Tensor) -> Tensor:
    """Add one number from U[-.5, .5] to each image of `x` [n, C, H, W]."""
    return x + _uniform(x, -0.5, 0.5)


def saturation(x: Tensor) -> Tensor:
    """Scale each pixel's distance from its own grey by one number from U[0, 2] per image."""
    return _scaled_about(x, x.mean(dim=1, keepdim=True), _uniform(x, 0.0, 2.0))


def contrast(x: Tensor) -> Tensor:
    """Scale each value's distance from its image's mean by one number from U[.5, 1.5] per image."""
    return _scaled_about(x, x.mean(dim=(1, 2, 3), keepdim=True), _uniform(x, 0.5, 1.5))


def color(x: Tensor) -> Tensor:
    """Brightness, saturation and contrast, in this order."""
    return contrast(saturation(brightness(x)))


def translation(x: Tensor) -> Tensor:
    """Move each image by whole pixels, up to 1/8 of each side either way, padded with 0.

    As in the authors' code a half is rounded up: up to 4 pixels of 28.
    """
    n, _, height, width = x.shape
    for side, size in ((2, height), (3, width)):
        most = int(size / 8 + 0.5)
        shift = torch.randint(-most, most + 1, (n, 1), device=x.device)
        source = torch.arange(size, device=x.device) + shift  # [n, size]
        inside = (source >= 0) & (source < size)
        shape = (n, 1, size, 1) if side == 2 else (n, 1, 1, size)
        index = source.clamp(0, size - 1).view(shape).expand_as(x)
        x = x.gather(side, index) * inside.view(shape)
    return x


def flip(x: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    return torch.where(_uniform(x, 0.0, 1.0) < 0.5, x.flip(3), x)


def cutout(x: Tensor) -> Tensor:
    """Set a rectangle of half of each side (rounded up), centred anywhere in its image, to 0."""
    n, _, height, width = x.shape
    rows, columns = (_covered(n, size, x.device) for size in (height, width))
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _covered(n: int, size: int, device: torch.device) -> Tensor:
    """Masks of a random interval of half of `size`, bool [n, size]; its centre is inside."""
    length = int(size / 2 + 0.5)
    start = torch.randint(size + 1 - length % 2, (n, 1), device=device) - length // 2
    position = torch.arange(size, device=device)
    return (position >= start) & (position < start + length)


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number for each image, [n, 1, 1, 1]."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _scaled_about(x: Tensor, centre: Tensor, factor: Tensor) -> Tensor:
    return (x - centre) * factor + centre


POLICIES: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
    "flip": flip,
}


def augment(x: Tensor, policies: Sequence[str]) -> Tensor:
    """Apply each of `policies` (keys of POLICIES) in turn to images [n, C, H, W]."""
    for policy in policies:
        x = POLICIES[policy](x)
    return x
