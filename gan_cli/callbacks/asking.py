"""What pictures of points have in common: colours, what a function says, and what is in view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.callbacks.plotting import Color, Span

REAL: Color = (0, 114, 178)  # blue and vermilion of Okabe and Ito's palette, which colour-blind
FAKE: Color = (213, 94, 0)  # people tell apart
PUSH: Color = (0, 158, 115)

Score = Callable[[Tensor], Tensor | None]


def array(points: Tensor) -> ndarray:
    """On the host, in float64."""
    return points.detach().cpu().double().numpy()  # in this order: MPS has no float64


@torch.no_grad()
def ask(function: Score, points: ndarray, device: torch.device) -> ndarray | None:
    """What `function` says [n] of points [n, d]."""
    # float32 as the networks want it; not float64, which MPS has not.
    answer = function(torch.from_numpy(points.astype(np.float32)).to(device))
    return None if answer is None else answer.float().cpu().numpy().astype(np.float64).reshape(-1)


def view(values: ndarray) -> Span:
    """Where the bulk of `values` lies, and 0, near which untrained generators begin."""
    low, high = np.quantile(values, [0.005, 0.995])
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        low, high = -1.0, 1.0
    # Whole fractions of the length, so that another draw of the same data gives the same view.
    unit = 10.0 ** np.floor(np.log10(high - low)) / 5
    margin = (high - low) * 0.2
    return Span(
        float(np.floor((low - margin) / unit) * unit), float(np.ceil((high + margin) / unit) * unit)
    )


def finite_range(values: ndarray) -> Span | None:
    """The span of the finite values; None where there is none. Never of length 0."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    least = max(abs(low), abs(high), 1.0) * 1e-3
    if high - low < least:
        span = Span(low, high)
        return Span(span.middle - least / 2, span.middle + least / 2)
    return Span(low, high)


def named(name: str, points: ndarray, *axes: Span) -> str:
    """`name`, and how many of the points [n, d] lie out of view."""
    inside = np.ones(len(points), dtype=bool)
    for column, axis in zip(points.T, axes, strict=False):
        inside &= (column >= axis.low) & (column <= axis.high)  # False for NaN
    outside = int((~inside).sum())
    return f"{name} ({outside:,} of {len(points):,} out of view)" if outside else name
