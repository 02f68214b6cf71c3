"""The idx format of MNIST and its kin: unsigned bytes, raw or compressed with gzip."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UBYTE = 8  # idx's code for unsigned bytes
LARGEST_RATIO = 1040  # of deflate, so that a forged length allocates nothing absurd


def read_content(path: Path) -> bytearray:
    """The bytes of a file, decompressed where it is gzip.

    Raises:
        DataError: the file cannot be read, or its compressed stream is cut short or damaged.
    """
    try:
        stored = path.read_bytes()
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    return inflate(stored, path) if stored[:2] == GZIP_MAGIC else bytearray(stored)


def inflate(stored: bytes, path: Path) -> bytearray:
    """Decompress one gzip stream; its checksum and length are checked."""
    (length,) = struct.unpack("<I", stored[-4:].rjust(4, b"\0"))
    content, filled = bytearray(min(length, len(stored) * LARGEST_RATIO)), 0
    stream, source = zlib.decompressobj(wbits=31), memoryview(stored)
    try:
        # Piece by piece into place: what has just been unpacked is copied from the CPU's cache.
        for start in range(0, len(source), 1 << 16):
            piece = stream.decompress(source[start : start + (1 << 16)])
            content[filled : filled + len(piece)] = piece
            filled += len(piece)
    except zlib.error as cause:
        raise DataError(f"{path}: damaged gzip file ({cause}); get it again") from cause
    if not stream.eof or stream.unused_data or filled != len(content):
        raise DataError(f"{path}: incomplete or damaged gzip file; get it again")
    return content


def parse_idx(content: bytearray, path: Path) -> Tensor:
    """The table that `content` holds, uint8, with as many dimensions as it says.

    The tensor shares the memory of `content`. `path` is named in errors.

    Raises:
        DataError: not idx, not of unsigned bytes, or shorter or longer than its header says.
    """
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4].ljust(4, b"\xff"))
    header = 4 + 4 * dimensions
    if zeros or kind != UBYTE or not dimensions or len(content) < header:
        raise DataError(f"{path}: not an idx file of unsigned bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path}: {len(content) - header:,} bytes of data where its header says "
            f"{' x '.join(map(str, shape))}; get it again"
        )
    if not math.prod(shape):
        raise DataError(f"{path}: holds nothing (its header says {' x '.join(map(str, shape))})")
    return torch.frombuffer(content, dtype=torch.uint8, offset=header).view(shape)


def read_idx(path: Path) -> Tensor:
    """The table in the idx file `path`, raw or gzip."""
    return parse_idx(read_content(path), path)
