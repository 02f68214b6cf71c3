"""Sheets of images with text: a line below each, or names of the rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_cli.images import GUTTER, tile, to_uint8

CELL = 84  # pixels of the smallest side of an image; smaller ones are magnified
LINE, SIZE, MARGIN = 16, 12, 6
NAME = 13  # size of the letters of rows and columns
INK = (40, 40, 40)


def sheet(images: Tensor, captions: Sequence[str], columns: int) -> ndarray:
    """Images [n, C, H, W] in [-1, 1] in rows of `columns`, as uint8 [height, width, 3].

    A caption that is longer than its image is wide is cut.
    """
    zoom = max(1, CELL // min(images.shape[2:]))
    pixels = to_uint8(images).repeat(zoom, axis=1).repeat(zoom, axis=2)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3)) if pixels.shape[3] == 1 else pixels
    n, height, width, _ = pixels.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    across, down = width + MARGIN, height + LINE + MARGIN
    page = Image.new("RGB", (columns * across + MARGIN, rows * down + MARGIN), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=SIZE)
    for place, (picture, caption) in enumerate(zip(pixels, captions, strict=True)):
        left, top = MARGIN + place % columns * across, MARGIN + place // columns * down
        page.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top))
        caption = " ".join(caption.split())  # a file's name may have several lines
        while caption and draw.textlength(caption, font) > width:
            caption = caption[:-1]
        draw.text((left, top + height), caption, INK, font)
    return np.array(page)


def named_table(
    images: Tensor,
    columns: int,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    zoom: int = 1,
) -> ndarray:
    """Images [n, c, h, w] in [-1, 1] row by row, named at the left and on top; uint8 [H, W, c].

    Args:
        images: the cells; white ones (1) look empty.
        columns: in each row.
        rows: the name of each row, which may be empty.
        heads: the name of each column; one that is too wide for it runs over empty names behind.
        zoom: see `tile`.
    """
    table = tile(images, columns, zoom=zoom)
    cell = [side * zoom + 2 for side in images.shape[2:]]
    left = max((round(_font().getlength(name)) + 2 * MARGIN for name in rows), default=0)
    top = NAME + MARGIN if any(heads) else 0
    wide = max(
        (round(left + 2 + i * cell[1] + _font().getlength(name)) for i, name in enumerate(heads)),
        default=0,
    )
    right = max(0, wide - left - table.shape[1])
    named = np.pad(table, ((top, 0), (left, right), (0, 0)), constant_values=GUTTER)
    picture = Image.fromarray(named[:, :, 0] if named.shape[2] == 1 else named)
    draw = ImageDraw.Draw(picture)
    ink = INK[0] if picture.mode == "L" else INK
    for i, name in enumerate(rows):
        middle = top + 2 + (i + 0.5) * cell[0]
        draw.text((left - MARGIN, middle), name, fill=ink, font=_font(), anchor="rm")
    for i, name in enumerate(heads):
        draw.text((left + 2 + i * cell[1], 2), name, fill=ink, font=_font(), anchor="la")
    made = np.array(picture)
    return made if made.ndim == 3 else made[:, :, None]


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=NAME)
