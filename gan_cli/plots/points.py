"""Pictures of toy data: the true points, the generator's samples, the discriminator's output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.plots.axis import Axis, label, spanning
from gan_cli.plots.canvas import (
    BESIDE,
    BOTTOM,
    FAKE,
    GRADIENT,
    LEFT,
    REAL,
    RIGHT,
    TOP,
    UNIT,
    Canvas,
    Color,
    Entry,
)
from gan_cli.plots.views import array

Score = Callable[[Tensor], Tensor | None]

CRITIC: Color = (110, 60, 130)
# Purple to green through near-white: pale enough that points stand out on it, and for the
# colour-blind as different as for others (ColorBrewer's PRGn).
SURFACE: tuple[Color, ...] = (
    (167, 130, 188),
    (194, 165, 207),
    (231, 212, 232),
    (247, 247, 247),
    (217, 240, 211),
    (166, 219, 160),
    (115, 185, 115),
)
BROKEN: Color = (90, 90, 90)  # where D's output is NaN or infinite
CELLS = 96  # length of the grid on which D is evaluated
MOST = 2000  # points drawn of each kind
LEVELS = 12  # steps between contour lines
PANEL = 0.375  # height of a panel below, as a share of the width


def draw(
    real: Tensor,
    fake: Tensor,
    score: Score | None,
    log_density: Score,
    size: int = 512,
    sample_gradient: Score | None = None,
    name: str = "D",
) -> ndarray:
    """A plot as uint8 [height, size, 3].

    For two dimensions: real points and samples on the surface of D's output. For one: the true
    density (or, where that is unknown, a histogram of real points), a histogram of samples, and
    D's output along the axis; below it, in panels of their own, the slope of D and the negative
    gradient of the generator's loss. Of more dimensions, the first two without D. The view depends
    on `real` alone, so that the frames of an animation match.

    Args:
        real: points [n, d].
        fake: samples [m, d].
        score: D's output [k] at points [k, d] on the device of `fake`; None where there is no D.
        log_density: log p(x) [k] of points [k, d]; None where it is unknown.
        size: pixels of its width.
        sample_gradient: minus the gradient of the generator's loss at samples [k, d], [k, d];
            None where there is none.
        name: of D: "critic" where it is one.
    """
    score = score or (lambda _: None)
    truth, samples = array(real), array(fake)
    if truth.shape[1] > 1:
        return _plane(truth, samples, score, fake.device, size, name)
    plot = _line(truth[:, 0], samples[:, 0], score, log_density, fake.device, size, name)
    below = _slopes(_view(truth[:, 0]), score, sample_gradient, fake.device, size, name)
    return np.concatenate([plot, *below])


def _line(
    truth: ndarray,
    samples: ndarray,
    score: Score,
    log_density: Score,
    device: torch.device,
    size: int,
    name: str,
) -> ndarray:
    """Densities and D over the axis, of points [n] and samples [m]."""
    x = _view(truth)
    along, edges = np.linspace(x.low, x.high, 481), np.linspace(x.low, x.high, 61)
    log_p = _evaluate(log_density, along[:, None], device)
    real, made = (
        np.histogram(some[np.isfinite(some)], edges)[0] / len(some) / np.diff(edges)
        for some in (truth, samples)
    )
    peak = float(real.max() if log_p is None else np.exp(log_p).max())
    critic = _evaluate(score, along[:, None], device)
    known = critic is not None and np.isfinite(critic).any()
    canvas = Canvas(size, x, Axis(0.0, peak * 1.45), right=BESIDE if known else RIGHT)
    canvas.grid()
    _bars(canvas, edges, made, FAKE)
    if log_p is None:
        _bars(canvas, edges, real, REAL)
    else:
        canvas.curve(canvas.at(along, np.exp(log_p)), REAL, 2.5)
    legend = [
        Entry("real" if log_p is None else "true density", REAL, log_p is not None),
        Entry(_named("samples", samples[:, None], x), FAKE, line=False),
    ]
    if critic is not None and known:
        scale = spanning(critic, margin=0.08, unit=1.0)
        canvas.curve(canvas.at(along, critic, scale), CRITIC)
        canvas.scale_beside(canvas.box[2], scale, CRITIC, side=1)
        legend.append(Entry(name, CRITIC, line=True))
    return canvas.finished(legend, "x")


def _slopes(
    x: Axis,
    score: Score,
    sample_gradient: Score | None,
    device: torch.device,
    size: int,
    name: str,
) -> list[ndarray]:
    """A panel with D's slope along the axis and one with the gradient on a sample, where known."""
    along = np.linspace(x.low, x.high, 481)

    def slope(points: Tensor) -> Tensor | None:
        with torch.enable_grad():
            points = points.requires_grad_()
            output = score(points)
            if output is None or not output.requires_grad:
                return None
            return torch.autograd.grad(output.sum(), points)[0]

    panels = []
    for title, function, color in (
        (f"slope of {'the critic' if name == 'critic' else name}", slope, CRITIC),
        ("negative gradient of G's loss", sample_gradient, GRADIENT),
    ):
        values = None if function is None else _evaluate(function, along[:, None], device)
        if values is None:
            continue
        y = spanning([0.0, *values], margin=0.08, unit=1)
        canvas = Canvas(size, x, y, right=BESIDE, height=round(size * PANEL))
        canvas.grid()
        canvas.curve(canvas.at(along, values), color)
        panels.append(canvas.finished([Entry(title, color, line=True)], "x"))
    return panels


def _bars(canvas: Canvas, edges: ndarray, heights: ndarray, color: Color) -> None:
    """A histogram as one shape; bars that are cut off have a mark, the highest its height."""
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(np.minimum(heights, canvas.y.high * 1.1), 2), [0.0]])
    outline = canvas.at(x, y)
    canvas.area(outline, color, 0.4)
    canvas.curve(outline, color, 1.2)
    cut = np.nonzero(heights > canvas.y.high)[0]
    for some in np.split(cut, np.nonzero(np.diff(cut) > 1)[0] + 1) if cut.size else ():
        words = f"up to {label(float(f'{heights.max():.2g}'))}"
        highest = heights.argmax() in some
        centre = float(edges[some[0]] + edges[some[-1] + 1]) / 2
        canvas.cut_mark(centre, words if highest else "")


def _plane(
    truth: ndarray, samples: ndarray, score: Score, device: torch.device, size: int, name: str
) -> ndarray:
    centre = _centre(truth[:MOST], samples[:MOST], score, device) if truth.shape[1] == 2 else None
    right = RIGHT if centre is None else BESIDE
    sides = [_view(truth[:, 0]), _view(truth[:, 1])]
    # As many pixels to a unit of one axis as of the other: a circle shall look like one.
    half = max(side.length for side in sides) / 2
    halves = half, half * (UNIT - TOP - BOTTOM) / (UNIT - LEFT - right)
    x, y = (Axis(s.middle - h, s.middle + h) for s, h in zip(sides, halves, strict=True))
    canvas = Canvas(size, x, y, right)
    surface = None if centre is None else _surface(x, y, score, device)
    if centre is None or surface is None:
        canvas.grid()
    else:
        spread = np.abs(surface[np.isfinite(surface)] - centre)
        reach = float(np.quantile(spread, 0.98)) if spread.size else 0.0
        reach = max(reach, 1e-3 * max(1.0, abs(centre)))  # or noise would look like a landscape
        scale = Axis(centre - reach, centre + reach)
        canvas.field(surface, scale, SURFACE, BROKEN, LEVELS)
        canvas.color_bar(scale, SURFACE, name)
    shown = samples[:MOST][np.isfinite(samples[:MOST]).all(axis=1)]
    # Below the samples and wider, so that the truth is seen where the two meet.
    canvas.points(canvas.at(truth[:MOST, 0], truth[:MOST, 1]), 3.6, REAL, 0.45)
    canvas.points(canvas.at(shown[:, 0], shown[:, 1]), 1.7, FAKE, 0.9)
    named = _named("samples", samples[:, :2], x, y)
    legend = [Entry("real", REAL, line=False), Entry(named, FAKE, line=False)]
    return canvas.finished(legend, "x1", "x2")


def _surface(x: Axis, y: Axis, score: Score, device: torch.device) -> ndarray | None:
    """D's output on a grid [CELLS, CELLS] that covers the view, the first row on top."""
    across = np.linspace(x.low, x.high, CELLS)
    down = np.linspace(y.high, y.low, CELLS)
    grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    values = _evaluate(score, grid, device)
    return None if values is None else values.reshape(CELLS, CELLS)


def _centre(truth: ndarray, samples: ndarray, score: Score, device: torch.device) -> float | None:
    """The output midway between D's means on real points and on samples; None without a D.

    That is near 0 where D's output is a logit, and means as much where it has no natural zero.
    """
    outputs = [_evaluate(score, points, device) for points in (truth, samples)]
    known = [output[np.isfinite(output)] for output in outputs if output is not None]
    if not known:
        return None
    means = [float(values.mean()) for values in known if values.size]
    return sum(means) / len(means) if means else 0.0


@torch.no_grad()
def _evaluate(function: Score, points: ndarray, device: torch.device) -> ndarray | None:
    """The values [n] of `function` at points [n, d]."""
    # float32 as the networks want it; not float64, which MPS has not.
    values = function(torch.from_numpy(points.astype(np.float32)).to(device))
    return None if values is None else values.float().cpu().numpy().astype(np.float64).reshape(-1)


def _view(values: ndarray) -> Axis:
    """Where the bulk of `values` lies, and 0, near which untrained generators begin."""
    low, high = np.quantile(values, [0.005, 0.995])
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        low, high = -1.0, 1.0
    # Whole fractions of the length, so that another draw of the same data gives the same view.
    unit = 10.0 ** np.floor(np.log10(high - low)) / 5
    margin = (high - low) * 0.2
    return Axis(
        float(np.floor((low - margin) / unit) * unit), float(np.ceil((high + margin) / unit) * unit)
    )


def _named(name: str, points: ndarray, *axes: Axis) -> str:
    """`name`, and how many of the points [n, d] lie out of view."""
    inside = np.ones(len(points), dtype=bool)
    for column, axis in zip(points.T, axes, strict=False):
        inside &= (column >= axis.low) & (column <= axis.high)  # False for NaN
    outside = int((~inside).sum())
    return f"{name} ({outside:,} outside)" if outside else name
