"""Pictures of what models teach: tables of images, curves over one axis, fields over the plane."""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from torch import Tensor

from gan_cli.formatting import cut
from gan_cli.images import GUTTER, tile
from gan_cli.model import Fields, Grid, Lines, View
from gan_cli.plots.axis import Axis, spanning
from gan_cli.plots.canvas import (
    BESIDE,
    FAKE,
    GRADIENT,
    REAL,
    RIGHT,
    UNIT,
    Canvas,
    Color,
    Entry,
    label,
    legend_rows,
)

# Okabe and Ito's palette, first the colours that pictures of points have.
CURVES: tuple[Color, ...] = (
    REAL,
    FAKE,
    GRADIENT,
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


LEGIBLE = 56  # pixels; smaller images of a table are magnified
LABEL = 24  # pixels of a row's label, or two thirds of a lower row
WORDS = 16  # characters of it


def draw(view: View, size: int = 512) -> ndarray:
    """A view as uint8 [height, width, channels]; `size` is the height of a plot in pixels."""
    if isinstance(view, Grid):
        return _table(view)
    return _lines(view, size) if isinstance(view, Lines) else _fields(view, size)


def _table(view: Grid) -> ndarray:
    """A table of images, with the labels of its rows to their left where it has some."""
    zoom = max(1, LEGIBLE // max(view.images.shape[2:]))
    table = tile(view.images, view.columns, zoom=zoom)
    if not view.rows:
        return table
    height = (table.shape[0] - 2) // -(-len(view.images) // view.columns)  # of a row, margin too
    words = [label(cut(text, WORDS), min(LABEL, height * 2 // 3)) for text in view.rows]
    width = max(word.shape[1] for word in words) + 8
    beside = np.full((table.shape[0], width, table.shape[2]), GUTTER, np.uint8)
    for row, word in enumerate(words):
        top = 2 + row * height + (height - 2 - word.shape[0]) // 2
        left = width - 4 - word.shape[1]
        beside[top : top + word.shape[0], left : width - 4] = word[:, :, None]
    return np.concatenate([beside, table], axis=1)


def _lines(view: Lines, size: int) -> ndarray:
    x = array(view.x)
    curves = [array(values) for values in view.curves.values()]
    legend = [Entry(name, CURVES[i % len(CURVES)], line=True) for i, name in enumerate(view.curves)]
    y = spanning(np.concatenate(curves), margin=0.06)
    canvas = Canvas(size, spanning(x), y, rows=legend_rows(legend))
    canvas.grid()
    for entry, values in zip(legend, curves, strict=True):
        canvas.curve(canvas.at(x, values), entry.color, 2.2)
    return canvas.finished(legend, view.x_name)


def _fields(view: Fields, size: int) -> ndarray:
    x, y = (Axis(low, high) for low, high in zip(view.low, view.high, strict=True))
    fields = {name: array(values) for name, values in view.values.items()}
    scale = spanning(np.concatenate([values.ravel() for values in fields.values()]))
    plots = []
    for name, values in fields.items():
        last = len(plots) == len(fields) - 1  # the colour bar is beside it
        wider = size + round((BESIDE - RIGHT) * size / UNIT)
        canvas = (
            Canvas(size, x, y, right=BESIDE, width=wider, height=size)
            if last
            else Canvas(size, x, y)
        )
        canvas.field(values, scale, HEIGHTS, BROKEN)
        if last:
            canvas.color_bar(scale, HEIGHTS, view.quantity)
        plots.append(canvas.finished([Entry(name, HEIGHTS[3], line=False)], "x1", "x2"))
    return np.concatenate(plots, axis=1)


def array(points: Tensor) -> ndarray:
    """On the host, in float64."""
    return points.detach().cpu().double().numpy()  # in this order: MPS has no float64
