"""What games draw of a generator that may know classes."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.model import Grid, Model

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
            rows=model.data.class_names[:rows],
        ),
        "samples/fixed": Grid(
            model.generate(z, fixed_labels(len(z), model.data.classes, z.device)), 8
        ),
        "samples/random": Grid(model.sample(len(z)), 8),
    }
