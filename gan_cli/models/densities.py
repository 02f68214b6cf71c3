"""What models with a density draw of it, beside the true one where that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gan_cli.model import Fields, Grid, Lines

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
    return Fields((left, bottom), (right, top), values)


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
