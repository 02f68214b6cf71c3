"""Pictures of what models teach: curves over one axis, and fields over the plane."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from gan_cli.model import Fields, Lines
from gan_cli.plots.canvas import FAKE, PUSH, REAL, Canvas, Color, Span, array, legend_rows, resized

# The rest of Okabe and Ito's palette after the colours that pictures of points have.
CURVES: tuple[Color, ...] = (
    REAL,
    FAKE,
    PUSH,
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (90, 90, 90),
)
# From white to dark blue, through what prints as even steps of grey (ColorBrewer's Blues).
HEIGHTS: tuple[Color, ...] = (
    (255, 255, 255),
    (222, 235, 247),
    (158, 202, 225),
    (66, 146, 198),
    (8, 81, 156),
    (8, 48, 107),
)
BROKEN: Color = (200, 60, 60)  # where a value is NaN or infinite
MARGIN, TITLE, ROW = 0.06, 34, 18  # share of the height; 1/512 of the picture


def draw(view: Lines | Fields, size: int = 512) -> ndarray:
    """A plot as uint8 [height, width, 3]; `size` is its height in pixels."""
    return _lines(view, size) if isinstance(view, Lines) else _fields(view, size)


def _lines(view: Lines, size: int) -> ndarray:
    x = array(view.x)
    curves = {name: array(values) for name, values in view.curves.items()}
    colors = {name: CURVES[i % len(CURVES)] for i, name in enumerate(curves)}
    entries = [(name, colors[name], True) for name in curves]
    top = TITLE + ROW * (legend_rows(entries, left=58, right=24) - 1)
    heights = _span(np.concatenate([*curves.values()])).grown(MARGIN)
    canvas = Canvas(size, _span(x), heights, left=58, right=24, top=top, bottom=46)
    canvas.grid()
    for name, values in curves.items():
        good = np.isfinite(values)
        canvas.curve(canvas.at(x[good], values[good]), colors[name], 2.2)
    canvas.frame(view.x_name)
    canvas.legend(entries)
    return canvas.finished()


def _fields(view: Fields, size: int) -> ndarray:
    x, y = (Span(low, high) for low, high in zip(view.low, view.high, strict=True))
    fields = {name: array(values) for name, values in view.values.items()}
    scale = _span(np.concatenate([values.ravel() for values in fields.values()]))
    plots = []
    for name, values in fields.items():
        canvas = Canvas(size, x, y, left=52, right=20, top=TITLE, bottom=46)
        place = np.nan_to_num((values - scale.low) / scale.length, nan=0.0, posinf=1.0, neginf=0.0)
        colors = _colors(resized(place, canvas.inside))
        colors[resized(np.isfinite(values), canvas.inside) < 0.5] = BROKEN
        canvas.put(colors, *canvas.box[:2])
        canvas.frame("x1", "x2")
        canvas.legend([(name, HEIGHTS[3], False)])
        plots.append(canvas.finished())
    return np.concatenate(plots, axis=1)


def _span(values: ndarray) -> Span:
    """Of the finite values; never of length 0."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    least = max(abs(low), abs(high), 1e-6) * 1e-3
    return Span(low, high) if high - low >= least else Span(low - least, high + least)


def _colors(place: ndarray) -> ndarray:
    """Colours uint8 [..., 3] for places [...] between 0 and 1 on the scale."""
    spots = np.clip(place, 0, 1) * (len(HEIGHTS) - 1)
    known = np.arange(len(HEIGHTS))
    channels = [np.interp(spots, known, channel) for channel in zip(*HEIGHTS, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
