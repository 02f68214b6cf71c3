"""Pictures of what lies between codes: two digits with opposite slants, and the plane."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gan_cli.model import Batch, Grid, View
from gan_cli.priors import lerp

PAIRS, STEPS = 5, 9  # rows of pairs; codes from one end to the other
SIDE = 15  # images along each axis of the latent plane

Encode = Callable[[Tensor, Tensor | None], Tensor]  # samples, labels to codes
Decode = Callable[[Tensor, Tensor | None], Tensor]  # codes, labels to samples


def tilt(images: Tensor) -> Tensor:
    """How far each image [n, C, H, W] leans to the right, [n]: columns per row upwards.

    It is the slope of the regression of a bright point's column on its height, from the moments of
    brightness.
    """
    mass = (images + 1).sum(1).cpu().double()  # [n, H, W]; in this order: MPS has no float64
    mass = mass / mass.sum((1, 2), keepdim=True).clamp_min(1e-12)
    height = -torch.arange(mass.shape[1], dtype=mass.dtype)[:, None]
    column = torch.arange(mass.shape[2], dtype=mass.dtype)

    def mean(of: Tensor) -> Tensor:
        return (mass * of).sum((1, 2), keepdim=True)

    up, right = height - mean(height), column - mean(column)
    return (mean(up * right) / mean(up * up).clamp_min(1e-12)).flatten()


def opposites(images: Tensor, labels: Tensor | None, pairs: int) -> Tensor:
    """The places of images that lean to the left and to the right, [at most `pairs`, 2].

    Within each class the two that lean most, of the classes where they differ most; without labels
    the outermost two of all, the two next to them, and so on.
    """
    leaning = tilt(images)
    if labels is None:
        order = leaning.argsort()
        pairs = min(pairs, len(order) // 2)
        return torch.stack([order[:pairs], order.flip(0)[:pairs]], dim=1)
    found: list[tuple[float, int, int]] = []
    for label in labels.unique().tolist():
        own = (labels.cpu() == label).nonzero()[:, 0]
        if len(own) > 1:
            left, right = own[leaning[own].argmin()].item(), own[leaning[own].argmax()].item()
            found.append((float(leaning[left] - leaning[right]), int(left), int(right)))
    return torch.tensor([ends for _, *ends in sorted(found)[:pairs]], dtype=torch.long).view(-1, 2)


def of_images(
    real: Batch,
    encode: Encode,
    decode: Decode,
    conditional: bool,
    latents: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, View]:
    """What models of codes draw of images; `latents` decodes the prior's where they are two."""
    found: dict[str, View] = {}
    way = between(real, encode, decode, conditional)
    if way is not None:
        found["theory/interpolation"] = way
    if latents is not None:
        found["theory/latent_plane"] = plane(latents, real.real.device)
    return found


def between(real: Batch, encode: Encode, decode: Decode, conditional: bool) -> Grid | None:
    """From a digit that leans to the left to one that leans to the right, both real.

    Two rows for each pair, with the true images at their ends: codes on the straight line between
    the two, decoded; and below, the pixels mixed in the same shares. None where no class has two.
    """
    ends = opposites(real.real, real.labels, PAIRS).to(real.real.device)
    if not len(ends):
        return None
    rows = []
    for pair in ends:
        x = real.real[pair]  # [2, C, H, W]
        y = real.labels[pair] if conditional and real.labels is not None else None
        codes = encode(x, y)
        times = [k / (STEPS - 1) for k in range(STEPS)]
        way = torch.stack([lerp(codes[0], codes[1], t) for t in times])
        mixed = torch.stack([lerp(x[0], x[1], t) for t in times])
        decoded = decode(way, None if y is None else y[:1].expand(STEPS))
        rows += [x[:1], decoded, x[1:], x[:1], mixed, x[1:]]
    return Grid(torch.cat(rows), STEPS + 2)


def plane(decode: Callable[[Tensor], Tensor], device: torch.device) -> Grid:
    """Latents [n, 2] at equal shares of a standard normal along both axes, decoded.

    The first latent grows to the right and the second upwards (Kingma and Welling 2014, fig. 4).
    """
    shares = (torch.arange(SIDE) + 0.5) / SIDE
    quantiles = torch.special.ndtri(shares).to(device)
    up, right = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return Grid(decode(torch.stack([right, up], dim=-1).view(-1, 2)), SIDE)
