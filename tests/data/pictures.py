"""Image files for tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, channels] (no channels where that is 1)."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    """Write pixels in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(height: int, width: int) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def png16(values: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of uint16 [height, width, channels], which Pillow cannot write for colours."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if transparent:
        parts.append((b"tRNS", struct.pack(f">{channels}H", *transparent)))
    return png(*parts, (b"IDAT", zlib.compress(rows)))


def png(*parts: tuple[bytes, bytes]) -> bytes:
    """A PNG of chunks, each a name and its data; the last one is added."""
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*parts, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(
    values: np.ndarray,
    bits: int = 16,
    photometric: int | None = None,
    order: str = "<",
    planes: bool = False,
) -> bytes:
    """An uncompressed TIFF of [height, width, channels], which Pillow cannot write for all kinds.

    Args:
        values: the samples, uint16 or uint8.
        bits: of a sample; 12 are packed.
        photometric: 0 white is zero, 1 black is zero, 2 colours; by the channels where None.
        order: of bytes, "<" or ">".
        planes: the channels are stored one after the other.
    """
    height, width, channels = values.shape
    if photometric is None:
        photometric = 2 if channels >= 3 else 1
    if bits == 12:
        spread = np.unpackbits(values.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 4:]
        data = np.packbits(spread.reshape(height, -1), axis=1).tobytes()
    else:
        stored = values.transpose(2, 0, 1) if planes else values
        data = stored.astype(f"{order}u{bits // 8}").tobytes()
    strips = channels if planes else 1
    size = len(data) // strips
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [1])]
    entries += [(262, 3, [photometric]), (273, 4, [8 + size * k for k in range(strips)])]
    entries += [(277, 3, [channels]), (278, 4, [height]), (279, 4, [size] * strips)]
    entries += [(284, 3, [2])] if planes else []
    entries += [(338, 3, [2])] if channels == 4 else []
    start, apart, table = 8 + len(data) + len(data) % 2, b"", b""
    room = start + 2 + 12 * len(entries) + 4
    for tag, kind, numbers in entries:
        packed = struct.pack(f"{order}{len(numbers)}{'HI'[kind - 3]}", *numbers)
        if len(packed) > 4:
            packed, apart = struct.pack(f"{order}I", room + len(apart)), apart + packed
        table += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    count = struct.pack(f"{order}H", len(entries))
    return head + data + b"\0" * (len(data) % 2) + count + table + bytes(4) + apart
