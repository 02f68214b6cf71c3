"""Pictures that models share: grids of samples, interpolations, densities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gan_cli.model import Batch, Fields, Grid, Lines, Model
from gan_cli.priors import lerp

ROWS = 20  # classes shown in the grid of classes


def fixed_labels(n: int, classes: int, device: torch.device) -> Tensor:
    """Labels 0, 1, 2 ... over and over, [n]."""
    return torch.arange(n, device=device) % classes


def grids(model: Model, z: Tensor) -> dict[str, Grid]:
    """Samples of the same latents `z` [n, prior.dim] and of random ones; one row per class."""
    if not model.conditional:
        return {
            "samples/fixed": Grid(model.generate(z), 8),
            "samples/random": Grid(model.sample(len(z)), 8),
        }
    rows = min(model.data.classes, ROWS)
    columns = z[:10]
    y = torch.arange(rows, device=z.device).repeat_interleave(len(columns))
    return {
        "samples/classes": Grid(
            model.generate(columns.repeat(rows, 1), y),
            len(columns),
            rows=model.data.class_names[:rows] or tuple(map(str, range(rows))),
        ),
        "samples/fixed": Grid(
            model.generate(z, fixed_labels(len(z), model.data.classes, z.device)), 8
        ),
        "samples/random": Grid(model.sample(len(z)), 8),
    }


PAIRS, STEPS = 5, 9  # rows of pairs; codes from one end to the other
SIDE = 15  # images along each axis of the latent plane

Encode = Callable[[Tensor, Tensor | None], Tensor]  # samples, labels to codes
Decode = Callable[[Tensor, Tensor | None], Tensor]  # codes, labels to samples


def tilt(images: Tensor) -> Tensor:
    """The slant of each image [n, C, H, W] to the right, [n]: columns per row upwards.

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


def between(real: Batch, encode: Encode, decode: Decode, conditional: bool) -> Grid | None:
    """Interpolations from an image that leans to the left to one that leans to the right.

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


POINTS = 400  # on a drawn line
CELLS = 128  # along each side of a drawn density
DEPTH = 14.0  # nats below the highest value that a drawn log-density reaches
MARGIN = 0.15  # of the data's extent, on each side of it

LogDensities = Mapping[str, Callable[[Tensor], Tensor | None]]


def on_the_line(real: Tensor, densities: LogDensities) -> Lines:
    """Densities, given by their logarithms, where the points `real` [n, 1] are."""
    low, high = extent(real[:, 0])
    x = torch.linspace(low, high, POINTS, device=real.device)
    found = {name: log(x.unsqueeze(1)) for name, log in densities.items()}
    return Lines(x, {name: log.exp() for name, log in found.items() if log is not None})


def on_the_plane(real: Tensor, log_densities: LogDensities) -> Fields:
    """Log-densities, down to some nats below the highest, where the points `real` [n, 2] are."""
    (left, right), (bottom, top) = extent(real[:, 0]), extent(real[:, 1])
    x = torch.linspace(left, right, CELLS, device=real.device)
    y = torch.linspace(top, bottom, CELLS, device=real.device)
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2).view(-1, 2)
    found = {name: log(points) for name, log in log_densities.items()}
    known = {name: log for name, log in found.items() if log is not None}
    deepest = max(log.max() for log in known.values()) - DEPTH
    values = {name: log.clamp(min=deepest).view(CELLS, CELLS) for name, log in known.items()}
    return Fields((left, bottom), (right, top), values, "log p(x)")


def extent(values: Tensor) -> tuple[float, float]:
    """From the least to the greatest of `values` [n], with a margin."""
    low, high = values.min().item(), values.max().item()
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def table(images: Tensor) -> Grid:
    """Images [n, C, H, W] in as many rows as columns, or nearly; the last row may be padded."""
    columns = math.ceil(math.sqrt(len(images)))
    missing = -len(images) % columns
    blank = images.new_full((missing, *images.shape[1:]), -1.0)
    return Grid(torch.cat([images, blank]), columns)
