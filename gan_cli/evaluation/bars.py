"""A picture of how often each class comes up among generated and real images."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MADE, REAL, INK = (31, 119, 180), (190, 190, 190), (64, 64, 64)  # blue, grey, dark
TALL, STRIP = 160, 16  # pixels of the longest bar, and of lines of text
NARROW, WIDE, PLOT = 2, 48, 480  # pixels of a class at least, at most, and of all together


def bars(made: Tensor, real: Tensor, names: tuple[str, ...]) -> ndarray:
    """Shares [classes] of generated images, in blue, and of real ones beside them, in grey.

    Args:
        made: of the generated images, summing to 1.
        real: of the real ones.
        names: one per class, shown where there is room.

    Returns:
        uint8 [height, width, 3].
    """
    cell = min(WIDE, max(NARROW, PLOT // len(names)))
    top = max(made.max().item(), real.max().item())
    floor = TALL + 2 * STRIP - 1
    text = f"generated (blue) and real (grey); the longest bar is {top:.1%}"
    font = ImageFont.load_default(size=11)
    width = 2 * STRIP + max(cell * len(names), math.ceil(font.getlength(text)))
    image = Image.new("RGB", (width, TALL + 3 * STRIP), "white")
    pen = ImageDraw.Draw(image)
    pen.text((STRIP, 2), text, INK, font)
    room = max(1, (cell - cell // 8) // 2)  # pixels of one bar
    for i, name in enumerate(names):
        left = STRIP + i * cell
        for share, color in ((made[i].item(), MADE), (real[i].item(), REAL)):
            height = round(share / top * TALL)
            if height:
                pen.rectangle((left, floor - height + 1, left + room - 1, floor), color)
            left += room
        if pen.textlength(name, font) <= cell:
            pen.text((STRIP + i * cell, floor + 3), name, INK, font)
    pen.line((STRIP, floor + 1, STRIP + cell * len(names), floor + 1), INK)
    return np.asarray(image)
