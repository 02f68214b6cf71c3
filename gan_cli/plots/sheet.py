"""A sheet of images with a line of text below each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_cli.images import to_uint8

CELL = 84  # pixels of the smallest side of an image; smaller ones are magnified
LINE, SIZE, MARGIN = 16, 12, 6
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
        while caption and draw.textlength(caption, font) > width:
            caption = caption[:-1]
        draw.text((left, top + height), caption, INK, font)
    return np.array(page)
