"""Curves and fields, looked at pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch

from gan_cli.images import tile
from gan_cli.model import Fields, Grid, Lines
from gan_cli.plots.canvas import Canvas, Entry, legend_rows
from gan_cli.plots.views import BROKEN, CURVES, HEIGHTS, draw

X = torch.linspace(-1, 1, 101)


def close_to(picture: np.ndarray, color: tuple[int, int, int], within: float = 40) -> np.ndarray:
    return np.linalg.norm(picture.astype(float) - np.array(color), axis=-1) < within


def test_each_curve_has_its_colour_and_height() -> None:
    picture = draw(Lines(X, {"low": torch.zeros(101), "high": torch.ones(101)}))
    assert picture.shape == (512, 512, 3)
    rows = [np.nonzero(close_to(picture[40:460], color))[0].mean() for color in CURVES[:2]]
    assert rows[0] > 350  # low, counted from the top
    assert rows[1] < 60


def test_a_curve_that_is_not_finite_is_drawn_where_it_is() -> None:
    curve = torch.where(X > 0, torch.nan, X)
    picture = draw(Lines(X, {"half": curve, "nowhere": torch.full((101,), torch.inf)}))
    columns = np.nonzero(close_to(picture[40:460], CURVES[0]))[1]
    assert 50 < columns.min() < 80
    assert columns.max() < 290
    assert not close_to(picture[60:460], CURVES[1]).any()


def test_a_long_legend_takes_more_rows_and_covers_no_curve() -> None:
    curves = {f"the name of curve number {k}": torch.full((101,), float(k)) for k in range(5)}
    entries = [Entry(name, CURVES[0], True) for name in curves]
    assert legend_rows(entries) == 3
    picture = draw(Lines(X, curves))
    highest = np.nonzero(close_to(picture[34 + 36 :, 100:480], CURVES[4]))[0]
    assert highest.size > 300


def test_fields_share_a_scale_and_show_the_first_row_on_top() -> None:
    peak = torch.zeros(50, 50)
    peak[:10] = 1.0
    picture = draw(Fields((-1, -1), (1, 1), {"strong": peak, "weak": peak / 2}))
    assert picture.shape == (512, 1024 + 46, 3)
    strong, weak = picture[:, :512], picture[:, 512:1024]
    assert close_to(strong[50, 100:400], HEIGHTS[-1]).all()
    assert not close_to(weak[50, 100:400], HEIGHTS[-1]).any()
    assert (weak[400, 100:400] == 255).all()


def test_a_bar_shows_the_values_of_the_colours(monkeypatch) -> None:
    bars = []
    show = Canvas.color_bar
    monkeypatch.setattr(
        Canvas,
        "color_bar",
        lambda canvas, *what: (
            bars.append((what[0].low, what[0].high, what[2])),
            show(canvas, *what),
        ),
    )
    values = torch.tensor([[0.0, 2.0], [1.0, 4.0]])
    picture = draw(Fields((0, 0), (1, 1), {"a": values / 4, "b": values}, "log p(x)"))
    assert bars == [(0.0, 4.0, "log p(x)")]  # of both, once
    bar = picture[34:466, 512 + 505]
    assert close_to(bar[:4], HEIGHTS[-1]).all()
    assert close_to(bar[-4:], HEIGHTS[0]).all()


def test_what_is_not_finite_is_seen() -> None:
    field = torch.zeros(20, 20)
    field[:, 10:] = torch.nan
    picture = draw(Fields((0, 0), (1, 1), {"half": field}))
    share = close_to(picture[40:460, 60:480], BROKEN).mean()
    assert 0.4 < share < 0.6


def test_rows_of_a_table_have_labels_to_their_left() -> None:
    images = torch.zeros(6, 1, 28, 28)
    plain, labelled = draw(Grid(images, 2)), draw(Grid(images, 2, ("0", "a long name of it", "1")))
    margin = labelled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(labelled[:, margin:], plain)
    np.testing.assert_array_equal(plain, tile(images, 2, zoom=2))
    dark = labelled[:, :margin, 0] < 128
    centres = [np.nonzero(dark[row * 58 : (row + 1) * 58].any(1))[0].mean() for row in range(3)]
    np.testing.assert_allclose(centres, 29.5, atol=4)
    widths = [np.ptp(np.nonzero(dark[row * 58 : (row + 1) * 58].any(0))[0]) for row in range(3)]
    assert widths[1] > 5 * widths[0], "a name, cut to 16 characters"
    assert not dark[:, -3:].any(), "white beside the images"


def test_labels_of_coloured_images_are_grey() -> None:
    picture = draw(Grid(-torch.ones(2, 3, 64, 64), 1, ("cat", "dog")))
    beside = picture[:, :30]
    np.testing.assert_array_equal(beside.min(-1), beside.max(-1))
