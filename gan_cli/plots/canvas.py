"""A small canvas for plots: axes with ticks, points, curves and a legend, on Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Color = tuple[int, int, int]
Entry = tuple[str, Color, bool]  # of a legend: words, colour, whether it is a line

INK: Color = (64, 64, 64)
FRAME: Color = (150, 150, 150)
GRID: Color = (232, 232, 232)
OVERSAMPLING = 2  # everything is drawn larger and scaled down, for smooth edges
UNIT = 512  # pixels for which sizes below are meant; other sizes scale them


@dataclass(frozen=True)
class Span:
    """A stretch of an axis, in the data's units."""

    low: float
    high: float

    @property
    def length(self) -> float:
        """Must not be 0 where something is drawn."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2

    def grown(self, share: float) -> Span:
        """Longer by `share` of its length at each end."""
        more = self.length * share
        return Span(self.low - more, self.high + more)

    def ticks(self, most: int = 7) -> list[float]:
        """Round numbers within, at equal distance, `most` at most."""
        rough = self.length / most
        power = 10.0 ** math.floor(math.log10(rough))
        # The tolerance keeps a length of exactly ten steps from taking the next larger step.
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


class Canvas:
    """A picture with one plot in it, square unless it is given a height.

    Args:
        size: pixels of its width.
        x, y: what the plot shows.
        left, right, top, bottom: margins, in 1/512 of the size.
        height: pixels.
    """

    def __init__(
        self,
        size: int,
        x: Span,
        y: Span,
        left: int,
        right: int,
        top: int,
        bottom: int,
        height: int | None = None,
    ) -> None:
        self.shape, self.x, self.y = (size, height or size), x, y
        self._scale = size * OVERSAMPLING / UNIT
        across, down = (side * OVERSAMPLING for side in self.shape)
        self.box = (
            round(self.px(left)),
            round(self.px(top)),
            across - round(self.px(right)),
            down - round(self.px(bottom)),
        )
        self.image = Image.new("RGB", (across, down), (255, 255, 255))

    def px(self, length: float) -> float:
        """A length given in 1/512 of the picture, in pixels of the oversampled canvas."""
        return length * self._scale

    @property
    def inside(self) -> tuple[int, int]:
        """Width and height of the plot itself, in pixels of the oversampled canvas."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    def at(self, x: ndarray, y: ndarray, axis: Span | None = None) -> ndarray:
        """Pixels [n, 2] of data [n]; `axis` stands in for the plot's own y axis."""
        axis = axis or self.y
        left, top, right, bottom = self.box
        across = left + (x - self.x.low) / self.x.length * (right - left)
        down = bottom - (y - axis.low) / axis.length * (bottom - top)
        return np.stack([across, down], axis=-1)

    def put(self, pixels: ndarray, x: int, y: int) -> None:
        """Lay a picture uint8 [h, w, 3] with its upper left corner at a pixel."""
        self.image.paste(Image.fromarray(pixels), (x, y))

    def points(self, where: ndarray, radius: float, color: Color, opacity: float) -> None:
        """Discs at pixels [n, 2]; they cover one another without adding up."""
        r = self.px(radius)
        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        for x, y in where.tolist():
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        self._paint(mask, color, opacity)

    def area(self, outline: ndarray, color: Color, opacity: float) -> None:
        """The inside of a polygon of pixels [n, 2]."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon([tuple(p) for p in outline.tolist()], fill=255)
        self._paint(mask, color, opacity)

    def curve(self, where: ndarray, color: Color, width: float = 2) -> None:
        """A line through pixels [n, 2], cut off at the plot's frame."""
        mask = Image.new("L", self.image.size)
        path = [tuple(p) for p in where.tolist()]
        ImageDraw.Draw(mask).line(path, fill=255, width=round(self.px(width)), joint="curve")
        self._paint(mask, color, 1.0)

    def _paint(self, mask: Image.Image, color: Color, opacity: float) -> None:
        inner = mask.crop(self.box).point(lambda level: level * opacity)
        self.image.paste(color, self.box, inner)

    def grid(self) -> None:
        """Pale lines at the ticks."""
        draw = ImageDraw.Draw(self.image)
        left, top, right, bottom = self.box
        width = round(self.px(1))
        for x, _ in self._ticks_at(self.x).tolist():
            draw.line((x, top, x, bottom), fill=GRID, width=width)
        for y in self._levels(self.y).tolist():
            draw.line((left, y, right, y), fill=GRID, width=width)

    def frame(self, x_name: str, y_name: str = "") -> None:
        """The frame, the ticks with their numbers, and the names of the axes."""
        draw = ImageDraw.Draw(self.image)
        left, top, right, bottom = self.box
        tick, gap = self.px(4), self.px(7)
        for value, (x, _) in zip(self.x.ticks(), self._ticks_at(self.x).tolist(), strict=True):
            draw.line((x, bottom, x, bottom + tick), fill=FRAME, width=round(self.px(1)))
            self.text((x, bottom + gap), number(value), anchor="ma")
        self.scale_beside(left, self.y, INK, side=-1)
        draw.rectangle(self.box, outline=FRAME, width=round(self.px(1)))
        self.text(((left + right) / 2, bottom + self.px(25)), x_name, anchor="ma")
        if y_name:
            self.text((self.px(6), (top + bottom) / 2), y_name, anchor="lm")

    def scale_beside(self, x: float, axis: Span, color: Color, side: int) -> None:
        """Ticks and numbers of `axis` along the plot's height at pixel x; side -1 left, 1 right."""
        draw = ImageDraw.Draw(self.image)
        tick, gap = self.px(4) * side, self.px(7) * side
        for value, y in zip(axis.ticks(), self._levels(axis).tolist(), strict=True):
            draw.line((x, y, x + tick, y), fill=FRAME, width=round(self.px(1)))
            self.text((x + gap, y), number(value), color, anchor="rm" if side < 0 else "lm")

    def text(
        self, at: tuple[float, float], words: str, color: Color = INK, anchor: str = "la"
    ) -> float:
        """Write at a pixel (anchors as in Pillow); gives the width in pixels."""
        draw, font = ImageDraw.Draw(self.image), _font(round(self.px(14)))
        draw.text(at, words, fill=color, font=font, anchor=anchor)
        return draw.textlength(words, font=font)

    def legend(self, entries: Sequence[Entry]) -> None:
        """Rows above the plot of (words, colour, whether it is a line and not a dot).

        Each row after the first, see `legend_rows`, needs a top margin larger by 18.
        """
        draw = ImageDraw.Draw(self.image)
        x, y = float(self.box[0]), self.px(16)
        for words, color, line in entries:
            if x > self.box[0] and x + self.px(_length(words, line)) > self.box[2]:
                x, y = float(self.box[0]), y + self.px(18)
            if line:
                ends = (x, y, x + self.px(16), y)
                draw.line(ends, fill=color, width=round(self.px(2.5)))
                x += self.px(21)
            else:
                r = self.px(4.5)
                draw.ellipse((x, y - r, x + 2 * r, y + r), fill=color)
                x += self.px(14)
            x += self.text((x, y), words, anchor="lm") + self.px(16)

    def finished(self) -> ndarray:
        """The picture, uint8 [height, size, 3]."""
        small = self.image.resize(self.shape, Image.Resampling.BOX)
        return np.array(small)

    def _ticks_at(self, axis: Span) -> ndarray:
        ticks = np.array(axis.ticks())
        return self.at(ticks, np.full_like(ticks, self.y.low))

    def _levels(self, axis: Span) -> ndarray:
        ticks = np.array(axis.ticks())
        return self.at(np.full_like(ticks, self.x.low), ticks, axis)[:, 1]


def _length(words: str, line: bool) -> float:
    """Of an entry of a legend, in 1/512 of the picture."""
    return (21 if line else 14) + _font(14).getlength(words)


def legend_rows(entries: Sequence[Entry], left: int, right: int) -> int:
    """How many rows a legend takes above a plot with these margins."""
    rows, x = 1, 0.0
    for words, _, line in entries:
        length = _length(words, line)
        if x and x + length > UNIT - left - right:
            rows, x = rows + 1, 0.0
        x += length + 16
    return rows


def resized(field: ndarray, size: tuple[int, int]) -> ndarray:
    """A field [h, w] as float32 of `size` (width, height), smoothly."""
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def number(value: float) -> str:
    """As short as the label of a tick may be; a hyphen for minus, as the font has no better."""
    return f"{value:.6g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


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
