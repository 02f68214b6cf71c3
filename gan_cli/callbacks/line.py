"""Pictures of points on the line: densities and D above, D's slope and the push below."""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.callbacks.asking import FAKE, PUSH, REAL, Score, ask, finite_range, named, view
from gan_cli.callbacks.plotting import Canvas, Color, Span

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
    x: Span, score: Score, push: Score | None, device: torch.device, size: int
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
    if push is not None:
        curves["push on a sample"] = ask(push, along[:, None], device)
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
