"""CIFAR-10's batches for Python, written as Python 2 wrote the published ones."""

from __future__ import annotations

import struct


def text(value: bytes) -> bytes:
    """A string, which Python 2 had no other kind of, as it stands in a pickle."""
    if len(value) < 256:
        return b"U" + bytes([len(value)]) + value
    return b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    """A whole number in the shortest form."""
    if 0 <= value < 256:
        return b"K" + bytes([value])
    return (
        b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)
    )


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
KIND = b"cnumpy\ndtype\n"


def array(data: bytes, shape: tuple[int, int], kind: bytes = b"u1", whole: bytes = ARRAY) -> bytes:
    """numpy's array of bytes: how to make it, and its state."""
    made = whole + b"q\x05cnumpy\nndarray\nq\x06" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    state = b"(K\x03" + text(b"|") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    dtype = KIND + text(kind) + number(0) + number(1) + b"\x87R" + state
    sizes = number(shape[0]) + number(shape[1]) + b"\x86"
    return made + b"(" + number(1) + sizes + dtype + b"\x89" + text(data) + b"tb"


def batch(records: bytes, name: bytes = b"training batch 1 of 5") -> bytes:
    """A batch as a pickle, from the records of the binary form."""
    each = 3073
    count = len(records) // each
    labels, pixels = (
        records[::each],
        b"".join(records[each * i + 1 : each * (i + 1)] for i in range(count)),
    )
    files = b"".join(text(b"thing_s_%06d.png" % i) for i in range(count))
    return (
        b"\x80\x02}q\x01("
        + (text(b"batch_label") + b"q\x02" + text(name) + b"q\x03")
        + (text(b"labels") + b"q\x04](" + b"".join(map(number, labels)) + b"e")
        + (text(b"data") + array(pixels, (count, 3072)))
        + (text(b"filenames") + b"](" + files + b"e")
        + b"u."
    )
