"""Pictures of toy data: what is true, what the generator makes, what the discriminator thinks."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.plots.canvas import (
    FAKE,
    PUSH,
    REAL,
    UNIT,
    Canvas,
    Color,
    Score,
    Span,
    array,
    ask,
    finite_range,
    named,
    resized,
    view,
)

CRITIC: Color = (110, 60, 130)


def line(
    truth: ndarray,
    samples: ndarray,
    score: Score,
    log_density: Score,
    device: torch.device,
    size: int,
) -> ndarray:
    """Densities and D over the axis, of points [n] and samples [m]; as `points.draw`."""
    x = view(truth)
    along = np.linspace(x.low, x.high, 481)
    edges = np.linspace(x.low, x.high, 61)
    log_p = ask(log_density, along[:, None], device)
    density = np.histogram(truth, edges)[0] / len(truth) / np.diff(edges)
    peak = float(density.max() if log_p is None else np.exp(log_p).max())
    critic = ask(score, along[:, None], device)
    axis = None if critic is None else finite_range(critic)
    canvas = Canvas(
        size,
        x,
        Span(0.0, peak * 1.45),
        left=50,
        right=24 if axis is None else 64,
        top=34,
        bottom=46,
    )
    canvas.grid()
    made = np.histogram(samples[np.isfinite(samples)], edges)[0] / len(samples) / np.diff(edges)
    _bars(canvas, edges, made, FAKE)
    if log_p is None:
        _bars(canvas, edges, density, REAL)
    else:
        canvas.curve(canvas.at(along, np.exp(log_p)), REAL, 2.5)
    legend = [("true density" if log_p is not None else "real", REAL, log_p is not None)]
    legend.append((named("samples", samples[:, None], x), FAKE, False))
    if critic is not None and axis is not None:
        axis = axis.grown(0.08)
        good = np.isfinite(critic)
        canvas.curve(canvas.at(along[good], critic[good], axis), CRITIC, 2)
        canvas.scale_beside(canvas.box[2], axis, CRITIC, side=1)
        legend.append(("D", CRITIC, True))
    canvas.frame("x")
    canvas.legend(legend)
    return canvas.finished()


def slopes(
    x: Span, score: Score, sample_gradient: Score | None, device: torch.device, size: int
) -> ndarray | None:
    """D's slope along the axis, and the push on a sample; None without a D."""
    along = np.linspace(x.low, x.high, 481)

    def slope(points: Tensor) -> Tensor | None:
        with torch.enable_grad():
            points = points.requires_grad_()
            output = score(points)
            if output is None or not output.requires_grad:
                return None
            return torch.autograd.grad(output.sum(), points)[0]

    curves = {"slope of D": ask(slope, along[:, None], device)}
    if sample_gradient is not None:
        curves["push on a sample"] = ask(sample_gradient, along[:, None], device)
    known = {name: values for name, values in curves.items() if values is not None}
    if not known:
        return None
    axis = finite_range(np.concatenate([np.zeros(1), *known.values()])) or Span(-1.0, 1.0)
    canvas = Canvas(size, x, axis.grown(0.08), 50, 64, top=34, bottom=46, height=size // 2)
    canvas.grid()
    legend = []
    for (name, values), color in zip(known.items(), (CRITIC, PUSH), strict=False):
        good = np.isfinite(values)
        width = 2.6 if name == "slope of D" else 1.6  # where they are one, both are seen
        canvas.curve(canvas.at(along[good], values[good]), color, width)
        legend.append((name, color, True))
    canvas.frame("x")
    canvas.legend(legend)
    return canvas.finished()


def _bars(canvas: Canvas, edges: ndarray, heights: ndarray, color: Color) -> None:
    """A histogram as one shape; what is higher than the plot is cut off."""
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(np.minimum(heights, canvas.y.high * 1.1), 2), [0.0]])
    outline = canvas.at(x, y)
    canvas.area(outline, color, 0.4)
    canvas.curve(outline, color, 1.2)


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
CELLS = 96  # D is asked on a grid of so many points in each direction
MOST = 2000  # points drawn of each kind
LEVELS = 12  # steps between contour lines
CONTOUR = 0.86  # their brightness, as a share of the surface's


def draw(
    real: Tensor,
    fake: Tensor,
    score: Score,
    log_density: Score,
    size: int = 512,
    sample_gradient: Score | None = None,
) -> ndarray:
    """A plot as uint8 [height, size, 3].

    For two dimensions: real points and samples on the surface of D's output. For one: the true
    density (or, where that is unknown, a histogram of real points), a histogram of samples, and
    D's output along the axis; below it the slope of D, and where the generator's loss pushes a
    sample. Of more dimensions, the first two without D. The view depends on `real` alone, so that
    the frames of a film match.

    Args:
        real: points [n, d].
        fake: samples [m, d].
        score: D's output [k] at points [k, d] on the device of `fake`; None where there is no D.
        log_density: log p(x) [k] of points [k, d]; None where it is unknown.
        size: pixels of its width.
        sample_gradient: minus the gradient of the generator's loss at samples [k, d], [k, d];
            None where there is none.
    """
    truth, samples = array(real), array(fake)
    if truth.shape[1] == 1:
        plot = line(truth[:, 0], samples[:, 0], score, log_density, fake.device, size)
        below = slopes(view(truth[:, 0]), score, sample_gradient, fake.device, size)
        return plot if below is None else np.concatenate([plot, below])
    return _plane(truth, samples, score, fake.device, size)


def _plane(
    truth: ndarray, samples: ndarray, score: Score, device: torch.device, size: int
) -> ndarray:
    centre = _centre(truth[:MOST], samples[:MOST], score, device) if truth.shape[1] == 2 else None
    left, right, top, bottom = 52, 26 if centre is None else 72, 34, 46
    sides = [view(truth[:, 0]), view(truth[:, 1])]
    # As many pixels to a unit of one axis as of the other: a circle shall look like one.
    half = max(side.length for side in sides) / 2
    halves = half, half * (UNIT - top - bottom) / (UNIT - left - right)
    x, y = (Span(s.middle - h, s.middle + h) for s, h in zip(sides, halves, strict=True))
    canvas = Canvas(size, x, y, left, right, top, bottom)
    surface = None if centre is None else _surface(x, y, score, device)
    if centre is None or surface is None:
        canvas.grid()
    else:
        _paint_surface(canvas, surface, centre)
    shown = samples[:MOST][np.isfinite(samples[:MOST]).all(axis=1)]
    # Below the samples and wider, so that the truth is seen where the two meet.
    canvas.points(canvas.at(truth[:MOST, 0], truth[:MOST, 1]), 3.6, REAL, 0.45)
    canvas.points(canvas.at(shown[:, 0], shown[:, 1]), 1.7, FAKE, 0.9)
    canvas.frame("x1", "x2")
    words = named("samples", samples[:, :2], x, y)
    canvas.legend([("real", REAL, False), (words, FAKE, False)])
    return canvas.finished()


def _surface(x: Span, y: Span, score: Score, device: torch.device) -> ndarray | None:
    """D's output on a grid [CELLS, CELLS] that covers the view, the first row on top."""
    across = np.linspace(x.low, x.high, CELLS)
    down = np.linspace(y.high, y.low, CELLS)
    grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    values = ask(score, grid, device)
    return None if values is None else values.reshape(CELLS, CELLS)


def _centre(truth: ndarray, samples: ndarray, score: Score, device: torch.device) -> float | None:
    """The output midway between what D gives to real points and to samples; None without a D.

    That is near 0 where D's output is a logit, and means as much where it has no natural zero.
    """
    answers = [ask(score, points, device) for points in (truth, samples)]
    known = [answer[np.isfinite(answer)] for answer in answers if answer is not None]
    if not known:
        return None
    means = [float(values.mean()) for values in known if values.size]
    return sum(means) / len(means) if means else 0.0


def _paint_surface(canvas: Canvas, surface: ndarray, centre: float) -> None:
    spread = np.abs(surface[np.isfinite(surface)] - centre)
    reach = float(np.quantile(spread, 0.98)) if spread.size else 0.0
    reach = max(reach, 1e-3 * max(1.0, abs(centre)))  # or noise would look like a landscape
    place = np.nan_to_num((surface - centre) / reach, nan=0.0, posinf=1.0, neginf=-1.0)
    smooth = resized(np.clip(place, -1.5, 1.5), canvas.inside)
    colors = _colors(smooth)
    steps = np.floor((smooth + 1) * (LEVELS / 2)).astype(np.int8)
    edge = np.zeros(steps.shape, dtype=bool)
    edge[:, 1:] |= steps[:, 1:] != steps[:, :-1]
    edge[1:] |= steps[1:] != steps[:-1]
    colors[edge] = colors[edge] * CONTOUR
    colors[resized(np.isfinite(surface), canvas.inside) < 0.5] = BROKEN
    canvas.put(colors, *canvas.box[:2])
    _color_bar(canvas, Span(centre - reach, centre + reach))


def _color_bar(canvas: Canvas, values: Span) -> None:
    _, top, right, bottom = canvas.box
    x, width = right + round(canvas.px(12)), round(canvas.px(10))
    ramp = _colors(np.linspace(1, -1, bottom - top)[:, None].repeat(width, axis=1))
    canvas.put(ramp, x, top)
    canvas.scale_beside(x + width, values, (64, 64, 64), side=1)
    canvas.text((x + width / 2, top - canvas.px(7)), "D", anchor="md")


@cache
def _palette() -> ndarray:
    """256 colours, uint8 [256, 3], between those of SURFACE."""
    spots = np.linspace(0, len(SURFACE) - 1, 256)
    known = np.arange(len(SURFACE))
    channels = [np.interp(spots, known, channel) for channel in zip(*SURFACE, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _colors(place: ndarray) -> ndarray:
    """Colours uint8 [..., 3] for places [...] between -1 and 1 on the scale."""
    return _palette()[((np.clip(place, -1, 1) + 1) * 127.5).astype(np.uint8)]
