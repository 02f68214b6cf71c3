"""A plot in pixels: axes with ticks, points, curves, fields and a legend, on Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from gan_cli.plots.axis import Axis

Color = tuple[int, int, int]

INK: Color = (64, 64, 64)
FRAME: Color = (150, 150, 150)
GRID: Color = (232, 232, 232)
# Okabe and Ito's palette, which colour-blind people tell apart.
REAL: Color = (0, 114, 178)
FAKE: Color = (213, 94, 0)
GRADIENT: Color = (0, 158, 115)
OVERSAMPLING = 2  # everything is drawn larger and scaled down, for smooth edges
UNIT = 512  # pixels for which sizes below are meant; other sizes scale them
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 34, 46  # margins
BESIDE = 70  # the right margin where a second scale is
ROW = 18  # of a legend


class Entry(NamedTuple):
    """Of a legend."""

    text: str
    color: Color
    line: bool  # else a dot

    @property
    def length(self) -> float:
        """In 1/512 of the picture."""
        return (21 if self.line else 14) + _font(14).getlength(self.text)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def label(words: str, size: int) -> ndarray:
    """A word or two, dark on white, as uint8 [height, width]; `size` in pixels."""
    font = _font(size)
    left, top, right, bottom = font.getbbox(words)
    image = Image.new("L", (max(round(right - left), 1), max(round(bottom - top), 1)), 255)
    ImageDraw.Draw(image).text((-left, -top), words, fill=INK[0], font=font)
    return np.array(image)


class Canvas:
    """A picture with one plot in it, square unless it is given a height.

    Args:
        size: pixels of its width.
        x, y: what the plot shows.
        right: the margin there, in 1/512 of the size.
        height: pixels.
        width: pixels, where it is wider than the size.
        rows: of the legend.
    """

    def __init__(
        self,
        size: int,
        x: Axis,
        y: Axis,
        right: int = RIGHT,
        height: int | None = None,
        rows: int = 1,
        width: int | None = None,
    ) -> None:
        self.shape, self.x, self.y = (width or size, height or size), x, y
        self._scale = size * OVERSAMPLING / UNIT
        across, down = (side * OVERSAMPLING for side in self.shape)
        self.box = (
            round(self.px(LEFT)),
            round(self.px(TOP + ROW * (rows - 1))),
            across - round(self.px(right)),
            down - round(self.px(BOTTOM)),
        )
        self.image = Image.new("RGB", (across, down), (255, 255, 255))
        self._draw = ImageDraw.Draw(self.image)

    def px(self, length: float) -> float:
        """A length given in 1/512 of the picture, in pixels of the oversampled canvas."""
        return length * self._scale

    def at(self, x: ndarray, y: ndarray, axis: Axis | None = None) -> ndarray:
        """Pixels [n, 2] of data [n]; `axis` stands in for the plot's own y axis."""
        left, top, right, bottom = self.box
        across = left + self.x.at(x) * (right - left)
        down = bottom - (axis or self.y).at(y) * (bottom - top)
        return np.stack([across, down], axis=-1)

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
        """A line through those pixels [n, 2] that are finite, cut off at the plot's frame."""
        mask = Image.new("L", self.image.size)
        path = [tuple(p) for p in where[np.isfinite(where).all(axis=1)].tolist()]
        ImageDraw.Draw(mask).line(path, fill=255, width=round(self.px(width)), joint="curve")
        self._paint(mask, color, 1.0)

    def _paint(self, mask: Image.Image, color: Color, opacity: float) -> None:
        inner = mask.crop(self.box).point(lambda level: level * opacity)
        self.image.paste(color, self.box, inner)

    def field(
        self, values: ndarray, scale: Axis, palette: Sequence[Color], broken: Color, levels: int = 0
    ) -> None:
        """Values [h, w] over the whole plot in colours, the first row on top.

        Args:
            values: what is drawn.
            scale: the values of the first and the last colour.
            palette: colours at equal distance.
            broken: colour of what is not finite.
            levels: number of steps between contour lines; 0: none.
        """
        share = np.nan_to_num(scale.at(values), nan=0.5, posinf=1.0, neginf=0.0)
        smooth = self._enlarged(np.clip(share, -0.25, 1.25))
        colors = between(palette, smooth)
        if levels:
            steps = np.floor(smooth * levels).astype(np.int8)
            edge = np.zeros(steps.shape, dtype=bool)
            edge[:, 1:] |= steps[:, 1:] != steps[:, :-1]
            edge[1:] |= steps[1:] != steps[:-1]
            colors[edge] = colors[edge] * 0.86  # a little darker
        colors[self._enlarged(np.isfinite(values)) < 0.5] = broken
        self.image.paste(Image.fromarray(colors), self.box[:2])

    def _enlarged(self, field: ndarray) -> ndarray:
        """A field [h, w] at each pixel of the plot, smoothly, as float32."""
        left, top, right, bottom = self.box
        image = Image.fromarray(field.astype(np.float32))
        large = image.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        return np.asarray(large, dtype=np.float32)

    def cut_mark(self, x: float, words: str = "") -> None:
        """An arrow at the upper edge, where what is drawn at `x` is higher; words beside it."""
        _, top, right, _ = self.box
        across = float(self.at(np.array([x]), np.array([self.y.high]))[0, 0])
        half, down = self.px(5), top + self.px(3)
        self._draw.polygon(
            [
                (across - half, down + 1.6 * half),
                (across + half, down + 1.6 * half),
                (across, down),
            ],
            fill=INK,
        )
        beside = 1 if across + self.px(90) < right else -1
        at = (across + beside * 1.6 * half, down + half)
        self.text(at, words, anchor="lm" if beside > 0 else "rm")

    def color_bar(self, scale: Axis, palette: Sequence[Color], name: str) -> None:
        """The colours of a field beside it, with their values."""
        _, top, right, bottom = self.box
        x, width = right + round(self.px(12)), round(self.px(10))
        ramp = np.linspace(1, 0, bottom - top)[:, None].repeat(width, axis=1)
        self.image.paste(Image.fromarray(between(palette, ramp)), (x, top))
        self.scale_beside(x + width, scale, INK, side=1)
        self.text((x + width / 2, top - self.px(7)), name, anchor="md")

    def grid(self) -> None:
        """Pale lines at the ticks."""
        left, top, right, bottom = self.box
        width = round(self.px(1))
        for x, _, _ in self._ticks(self.x):
            self._draw.line((x, top, x, bottom), fill=GRID, width=width)
        for _, y, _ in self._ticks(self.y):
            self._draw.line((left, y, right, y), fill=GRID, width=width)

    def _ticks(self, axis: Axis) -> list[tuple[float, float, str]]:
        """Pixels along the width and along the height, and labels."""
        left, top, right, bottom = self.box
        return [
            (left + at * (right - left), bottom - at * (bottom - top), text)
            for value, text in axis.ticks()
            for at in (axis.at(value),)
        ]

    def scale_beside(self, x: float, axis: Axis, color: Color, side: int) -> None:
        """Ticks and numbers of `axis` along the plot's height at pixel x; side -1 left, 1 right."""
        for _, y, text in self._ticks(axis):
            self._draw.line((x, y, x + self.px(4) * side, y), FRAME, width=round(self.px(1)))
            at = x + self.px(7) * side
            room = at if side < 0 else self.image.width - at
            anchor = "rm" if side < 0 else "lm"
            self.text((at, y), text, color, anchor, room - self.px(2))

    def text(
        self,
        at: tuple[float, float],
        words: str,
        color: Color = INK,
        anchor: str = "la",
        room: float = math.inf,
    ) -> float:
        """Write at a pixel (anchors as in Pillow), smaller where there is not the room (in pixels).

        Returns the width in pixels.
        """
        font = _font(round(self.px(14)))
        width = self._draw.textlength(words, font=font)
        if width > room:
            font = _font(max(1, math.floor(self.px(14) * room / width)))
        self._draw.text(at, words, fill=color, font=font, anchor=anchor)
        return self._draw.textlength(words, font=font)

    def finished(self, legend: Sequence[Entry], x_name: str, y_name: str = "") -> ndarray:
        """Draw frame, ticks, names and legend; the picture, uint8 [height, size, 3]."""
        left, top, right, bottom = self.box
        for x, _, text in self._ticks(self.x):
            self._draw.line((x, bottom, x, bottom + self.px(4)), FRAME, width=round(self.px(1)))
            self.text((x, bottom + self.px(7)), text, anchor="ma")
        self.scale_beside(left, self.y, INK, side=-1)
        self._draw.rectangle(self.box, outline=FRAME, width=round(self.px(1)))
        self.text(((left + right) / 2, bottom + self.px(25)), x_name, anchor="ma")
        self.text((self.px(6), (top + bottom) / 2), y_name, anchor="lm")
        self._legend(legend)
        return np.array(self.image.resize(self.shape, Image.Resampling.BOX))

    def _legend(self, entries: Sequence[Entry]) -> None:
        x, y = float(self.box[0]), self.px(16)
        for entry in entries:
            if x > self.box[0] and x + self.px(entry.length) > self.box[2]:
                x, y = float(self.box[0]), y + self.px(ROW)
            if entry.line:
                ends = (x, y, x + self.px(16), y)
                self._draw.line(ends, fill=entry.color, width=round(self.px(2.5)))
                x += self.px(21)
            else:
                r = self.px(4.5)
                self._draw.ellipse((x, y - r, x + 2 * r, y + r), fill=entry.color)
                x += self.px(14)
            x += self.text((x, y), entry.text, anchor="lm") + self.px(16)


def legend_rows(entries: Sequence[Entry]) -> int:
    """How many rows a legend takes above a plot."""
    rows, x = 1, 0.0
    for entry in entries:
        if x and x + entry.length > UNIT - LEFT - RIGHT:
            rows, x = rows + 1, 0.0
        x += entry.length + 16
    return rows


def between(palette: Sequence[Color], share: ndarray) -> ndarray:
    """Colours uint8 [..., 3] for shares [...] from 0, the palette's first, to 1, its last."""
    spots, known = np.linspace(0, len(palette) - 1, 256), np.arange(len(palette))
    channels = [np.interp(spots, known, channel) for channel in zip(*palette, strict=True)]
    steps = np.stack(channels, axis=-1).round().astype(np.uint8)
    return steps[(np.clip(share, 0, 1) * 255).astype(np.uint8)]
