"""Pictures of toy data, looked at pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.plots.axis import Axis
from gan_cli.plots.canvas import BESIDE, FAKE, GRADIENT, INK, LEFT, REAL, UNIT, Canvas, Entry
from gan_cli.plots.points import BROKEN, CRITIC, SURFACE, _bars, draw

SIZE = 512


def nothing(x: Tensor) -> None:
    return None


def close_to(picture: ndarray, color: tuple[int, int, int], within: float = 40) -> ndarray:
    """Where [h, w] a picture has about a colour."""
    return np.linalg.norm(picture.astype(float) - np.array(color), axis=-1) < within


def centre_of(mask: ndarray) -> tuple[float, float]:
    """Mean (x, y) of the set pixels, y growing upwards, as shares of the picture."""
    rows, columns = np.nonzero(mask)
    assert len(rows), "no such pixel"
    return columns.mean() / mask.shape[1], 1 - rows.mean() / mask.shape[0]


def ring(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    angle = torch.randint(8, (n,), generator=generator) * math.pi / 4
    modes = torch.stack([angle.cos(), angle.sin()], dim=1)
    return modes + 0.01 * torch.randn(n, 2, generator=generator)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [128, 511])
def test_any_dimension_and_size(dimensions: int, size: int) -> None:
    picture = draw(torch.randn(50, dimensions), torch.randn(20, dimensions), nothing, nothing, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_points_are_where_they_belong() -> None:
    """Real points right, samples above: x grows to the right and y upwards."""
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    real = torch.cat([corners.repeat(5, 1), torch.full((300, 2), 0.9) * torch.tensor([1.0, 0.0])])
    fake = torch.full((300, 2), 0.8) * torch.tensor([0.0, 1.0])
    picture = draw(real, fake, nothing, nothing)
    plot = picture[40:460]  # without the legend and the axis
    x, y = centre_of(close_to(plot, FAKE))
    assert abs(x - 0.5) < 0.08
    assert y > 0.6
    x, _ = centre_of((plot[..., 2].astype(int) - plot[..., 0] > 60) & ~close_to(plot, FAKE))
    assert x > 0.6


def test_the_surface_is_green_where_d_believes_and_purple_where_not() -> None:
    picture = draw(ring(500), torch.randn(100, 2) * 0.05, lambda x: x[:, 0], nothing)
    low, high = picture[200:300, 62].mean(0), picture[200:300, 430].mean(0)
    assert low[1] < min(low[0], low[2])  # purple: least green
    assert high[1] > max(high[0], high[2])


def test_a_critic_with_any_offset_has_the_same_picture() -> None:
    """The critic's zero means nothing; only the numbers beside the colours differ."""
    fake = torch.randn(100, 2, generator=torch.Generator().manual_seed(1)) * 0.1
    plain, shifted = (
        draw(ring(500), fake, lambda x, c=c: x.norm(dim=1) + c, nothing)[:, :440] for c in (0, 64)
    )
    assert np.abs(plain.astype(int) - shifted).max() <= 12  # float32 rounds the larger numbers


def test_noise_of_a_flat_discriminator_is_not_blown_up() -> None:
    picture = draw(ring(500), ring(50, 1), lambda x: 1e-6 * torch.sin(40 * x[:, 0]), nothing)
    assert close_to(picture[50:450, 60:430], SURFACE[3], within=12).mean() > 0.75


def test_not_a_number_is_seen() -> None:
    def score(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, math.nan, x[:, 1])

    picture = draw(ring(500), ring(50, 1), score, nothing)
    dark = close_to(picture[50:450], BROKEN, within=12)
    assert 0.3 < dark[:, 60:430].mean() < 0.6
    assert not dark[:, 60:230].any()


def test_samples_that_are_not_finite_or_far_off_do_not_break_it() -> None:
    fake = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [1e30, -1e30], [0.0, 0.0]])
    for columns in (1, 2):
        picture = draw(ring(100)[:, :columns], fake[:, :columns], lambda x: x[:, 0], nothing)
        assert close_to(picture, FAKE).any()


def test_the_view_depends_on_the_truth_alone_and_not_on_its_draw() -> None:
    """Frames of an animation must match: same axes for other samples and for another real batch."""
    pictures = [
        draw(ring(1000, seed), fake, nothing, nothing)
        for seed, fake in enumerate([torch.zeros(1, 2), torch.randn(500, 2), ring(100) * 3])
    ]
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture[472:], pictures[0][472:])  # the x axis
        np.testing.assert_array_equal(picture[40:470, :50], pictures[0][40:470, :50])


def log_normal(x: Tensor) -> Tensor:
    return -0.5 * ((x[:, 0] - 4) / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))


def test_one_dimension_shows_density_samples_and_critic() -> None:
    generator = torch.Generator().manual_seed(0)
    real = 4 + 0.5 * torch.randn(2000, 1, generator=generator)
    fake = 1 + 0.5 * torch.randn(2000, 1, generator=generator)
    picture = draw(real, fake, lambda x: x[:, 0], log_normal)
    plot = picture[45:460, 55:450]
    blue = centre_of(close_to(plot, REAL))
    orange = centre_of(close_to(plot, (238, 190, 152), within=30))
    assert orange[0] < blue[0] - 0.3, "the samples' histogram lies left of the true density"
    columns = np.nonzero(close_to(plot, CRITIC).any(axis=0))[0]
    assert len(columns) > 0.9 * plot.shape[1], "the critic's curve goes all the way"
    first, last = (np.nonzero(close_to(plot, CRITIC)[:, c])[0].mean() for c in columns[[5, -5]])
    assert first > last, "and rises"


def test_below_the_critic_are_its_slope_and_the_gradient_on_samples() -> None:
    """D = x^2: its slope 2 x rises; a gradient of 1 is a flat line at -1."""
    real = 4 + 0.5 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    fake = torch.zeros(10, 1)
    picture = draw(
        real,
        fake,
        lambda x: x[:, 0] ** 2,
        log_normal,
        sample_gradient=lambda x: -torch.ones_like(x),
    )
    assert picture.shape == (512 + 2 * 192, 512, 3)
    slopes, gradients = (picture[at + 40 : at + 144, 56:442] for at in (512, 512 + 192))
    slope, sample_gradient = close_to(slopes, CRITIC), close_to(gradients, GRADIENT)
    assert not close_to(slopes, GRADIENT).any(), "each has a panel of its own"
    assert not close_to(gradients, CRITIC).any()
    heights = [np.nonzero(slope[:, column])[0].mean() for column in (5, 195, 380)]
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], rel=0.15)
    rows = np.nonzero(sample_gradient)[0]
    assert rows.max() - rows.min() < 8
    assert draw(real, fake, nothing, log_normal).shape == (512, 512, 3)


def darker(picture: ndarray) -> ndarray:
    """Where [h, w] the ink of marks and words is."""
    return close_to(picture, INK, within=60)


def test_bars_that_are_cut_off_have_an_arrow_and_their_height() -> None:
    """All samples in one bar of the 60 between -1.2 and 6.4 (7.9 high), or spread out (1 high)."""
    real = 4 + 0.5 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    high, low = (
        draw(real, 1 + width * (torch.arange(500) / 500)[:, None], nothing, log_normal)
        for width in (1e-3, 1.0)
    )
    marked = darker(high[38:56, 62:480])
    assert not darker(low[38:56, 62:480]).any()
    columns = np.nonzero(marked.any(axis=0))[0] + 62
    bar = np.nonzero(close_to(high[300], (238, 190, 152), within=30))[0]
    assert abs(columns.min() + 4 - bar.mean()) < 3, "the arrow is above the bar"
    assert columns.max() - columns.min() > 50, "and words beside it"


def test_neighbours_that_are_cut_off_share_an_arrow(monkeypatch) -> None:
    marks: list[tuple[float, str]] = []
    monkeypatch.setattr(Canvas, "cut_mark", lambda _, x, words: marks.append((x, words)))
    canvas = Canvas(64, Axis(0, 5), Axis(0, 1))
    _bars(canvas, np.arange(6.0), np.array([2.0, 3.14159, 0.5, 1.5, 0.1]), FAKE)
    assert marks == [(1.0, "up to 3.1"), (3.5, "")]


def test_the_legend_of_a_line_takes_one_row_however_many_samples_are_outside(monkeypatch) -> None:
    legends: list[list[Entry]] = []
    monkeypatch.setattr(Canvas, "_legend", lambda _, entries: legends.append(list(entries)))
    real, fake = torch.randn(2000, 1), torch.full((2000, 1), 99.0)
    draw(real, fake, lambda x: x[:, 0], log_normal, name="critic")
    assert [entry.text for entry in legends[0]] == [
        "true density",
        "samples (2,000 outside)",
        "critic",
    ]
    assert sum(entry.length + 16 for entry in legends[0]) - 16 <= UNIT - LEFT - BESIDE


def test_long_numbers_beside_the_plot_are_not_cut_off() -> None:
    """Values of which only the last digits differ: the edge of the picture stays white."""
    picture = draw(ring(500), ring(50, 1), lambda x: -0.0105 + 2e-4 * x[:, 0], nothing)
    assert (picture[:, -1] == 255).all()
    assert darker(picture[40:460, 470:]).any()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_critic_is_called_one(dimensions: int, monkeypatch) -> None:
    written: list[str] = []
    write = Canvas.text

    def note(canvas: Canvas, at: tuple[float, float], words: str, *more, **named) -> float:
        written.append(words)
        return write(canvas, at, words, *more, **named)

    monkeypatch.setattr(Canvas, "text", note)
    points = torch.randn(50, dimensions)
    draw(points, points, lambda x: x[:, 0], nothing, name="critic")
    assert "critic" in written
    assert ("slope of the critic" in written) == (dimensions == 1)
    assert "D" not in written


def test_the_true_density_is_drawn_to_scale() -> None:
    """N(4, .5) peaks at .798 while the axis ends at 1.45 times that."""
    real = 4 + 0.5 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    picture = draw(real, torch.zeros(10, 1), nothing, log_normal)
    rows = np.nonzero(close_to(picture[40:, 60:470], REAL).any(axis=1))[0]
    top, bottom = 34, 512 - 46
    assert 1 - (rows.min() + 40 - top) / (bottom - top) == pytest.approx(1 / 1.45, abs=0.02)


def test_nothing_is_painted_outside_the_frame() -> None:
    canvas = Canvas(128, Axis(0, 1), Axis(0, 1), right=40)
    far = np.array([-3.0, 4.0])
    canvas.curve(canvas.at(far, far), (0, 0, 0), width=20)
    canvas.points(canvas.at(far / 100, far / 100), 30, (0, 0, 0), 1.0)
    left, top, right, bottom = (side // 2 for side in canvas.box)
    picture = np.array(canvas.image.resize(canvas.shape))
    picture[top - 1 : bottom + 2, left - 1 : right + 2] = 255
    assert picture.min() == 255
