"""CIFAR-10's batches for Python: pickles, read without running anything that they name.

A pickle is a program. What is admitted here is what the published files hold and no more: a
dictionary of text, lists of text and small numbers, and one array of bytes. The classes of numpy
that they name are stood in for by plain records, so that not even numpy's own code is reached.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np

from gan_cli.errors import DataError

PIXELS = 3 * 32 * 32
LARGEST = 64 << 20  # bytes of a file; those of 10,000 images have 31 million
MOST_STEPS = 500_000  # of the program; theirs have some 40,000
MOST_NOTES = 100_000  # objects that it keeps to refer to later
MOST_TUPLES, MOST_REFERENCES = 16, 32  # more could nest into something that takes for ever
WORDS = """
    PROTO STOP MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1
    TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINSTRING SHORT_BINSTRING
    BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE BUILD
"""
ADMITTED = frozenset(WORDS.split())
NOTES = frozenset({"BINPUT", "LONG_BINPUT"})
REFERENCES = frozenset({"BINGET", "LONG_BINGET"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})


class _Record:
    """What a pickle says of an object: its arguments and its state."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.state = state


class _Array(_Record):
    """In the place of `numpy.core.multiarray._reconstruct`."""


class _Kind(_Record):
    """In the place of `numpy.dtype`."""


KNOWN: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Kind,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a class of numpy; nothing is imported.

        Raises:
            UnpicklingError: it is another one.
        """
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return KNOWN[module, name]


def binary_form(content: bytes | bytearray, path: Path) -> bytearray:
    """A batch for Python as the records of the binary form: a label and 3,072 values each.

    Raises:
        DataError: it is no such batch.
    """
    try:
        _check(content)
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
        return _joined(found[b"labels"], found[b"data"])
    except Exception as cause:  # a pickle fails on hostile bytes in any way it likes
        said = isinstance(cause, pickle.UnpicklingError | ValueError)
        reason = ascii(str(cause))[1:-1][:200] if said else type(cause).__name__
        raise DataError(
            f"{path}: is not a batch of CIFAR-10 for Python ({reason}); get it again"
        ) from cause


def _check(content: bytes | bytearray) -> None:
    """Look through the program before any of it is run."""
    if len(content) > LARGEST:
        raise pickle.UnpicklingError(f"{len(content):,} bytes are too many")
    tuples = references = 0
    for step, (code, argument, _) in enumerate(pickletools.genops(bytes(content))):
        if code.name not in ADMITTED:
            raise pickle.UnpicklingError(f"it holds {code.name}")
        tuples += code.name in TUPLES
        references += code.name in REFERENCES
        noted = argument if code.name in NOTES and isinstance(argument, int) else 0
        if (
            step > MOST_STEPS
            or noted > MOST_NOTES
            or tuples > MOST_TUPLES
            or references > MOST_REFERENCES
        ):
            raise pickle.UnpicklingError("it is longer or more entangled than they are")


def _joined(labels: object, array: object) -> bytearray:
    match array:
        case _Array(state=(int(), (int(count), int(width)), _Kind() as kind, _, bytes(data))):
            pass
        case _:
            raise pickle.UnpicklingError("its data are no array")
    if kind.arguments[:1] != (b"u1",) or width != PIXELS or len(data) != count * width:
        raise pickle.UnpicklingError("its data are not 3,072 bytes for each image")
    if not isinstance(labels, list) or len(labels) != count or not set(labels) <= set(range(10)):
        raise pickle.UnpicklingError("its labels are not a number from 0 to 9 for each image")
    table = np.empty((count, 1 + width), np.uint8)
    table[:, 0] = labels
    table[:, 1:] = np.frombuffer(data, np.uint8).reshape(count, width)
    return bytearray(table.tobytes())
