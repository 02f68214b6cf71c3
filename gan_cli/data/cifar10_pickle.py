"""CIFAR-10's batches for Python: pickles, read without running any code that they name.

A pickle is a program. Only what the published files contain is admitted: a dictionary of text,
lists of text and small numbers, and one array of bytes. Plain records replace the numpy classes
that they name, so that not even numpy's own code is reached.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np

from gan_cli.errors import DataError

PIXELS = 3 * 32 * 32
LARGEST = 64 << 20  # bytes of a file; one of 10,000 images has 31 million
MOST_STEPS = 500_000  # of the program; the published ones have about 40,000
MOST_MEMOS = 100_000  # objects in its memo
MOST_TUPLES, MOST_REFERENCES = 16, 32  # more could expand without end
OPCODES = """
    PROTO STOP MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1
    TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINSTRING SHORT_BINSTRING
    BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE BUILD
"""
ADMITTED = frozenset(OPCODES.split())
MEMOS = frozenset({"BINPUT", "LONG_BINPUT"})
REFERENCES = frozenset({"BINGET", "LONG_BINGET"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})


class _Record:
    """The arguments and the state of an object in a pickle."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.state = state


class _Array(_Record):
    """Replaces `numpy.core.multiarray._reconstruct`."""


class _DType(_Record):
    """Replaces `numpy.dtype`."""


KNOWN: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _DType,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """The replacement of a class of numpy; nothing is imported.

        Raises:
            UnpicklingError: any other name.
        """
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return KNOWN[module, name]


def binary_form(content: bytes | bytearray, path: Path) -> bytearray:
    """Convert a batch for Python to the binary form: records of a label and 3,072 values.

    Raises:
        DataError: it is not such a batch.
    """
    try:
        _check(content)
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
        return _joined(found[b"labels"], found[b"data"])
    except Exception as cause:  # a pickle fails on hostile bytes in any way it likes
        ours = isinstance(cause, pickle.UnpicklingError | ValueError)
        reason = ascii(str(cause))[1:-1][:200] if ours else type(cause).__name__
        raise DataError(
            f"{path}: is not a batch of CIFAR-10 for Python ({reason}); get it again"
        ) from cause


def _check(content: bytes | bytearray) -> None:
    """Check the program's opcodes before any of it is run."""
    if len(content) > LARGEST:
        raise pickle.UnpicklingError(f"{len(content):,} bytes are too many")
    tuples = references = 0
    for step, (code, argument, _) in enumerate(pickletools.genops(bytes(content))):
        if code.name not in ADMITTED:
            raise pickle.UnpicklingError(f"it holds {code.name}")
        tuples += code.name in TUPLES
        references += code.name in REFERENCES
        memo = argument if code.name in MEMOS and isinstance(argument, int) else 0
        if (
            step > MOST_STEPS
            or memo > MOST_MEMOS
            or tuples > MOST_TUPLES
            or references > MOST_REFERENCES
        ):
            raise pickle.UnpicklingError("longer or more nested than the published files")


def _joined(labels: object, array: object) -> bytearray:
    match array:
        case _Array(state=(int(), (int(count), int(width)), _DType() as dtype, _, bytes(data))):
            pass
        case _:
            raise pickle.UnpicklingError("its data are not an array")
    if dtype.arguments[:1] != (b"u1",) or width != PIXELS or len(data) != count * width:
        raise pickle.UnpicklingError("its data are not 3,072 bytes for each image")
    if not isinstance(labels, list) or len(labels) != count or not set(labels) <= set(range(10)):
        raise pickle.UnpicklingError("its labels are not one number from 0 to 9 for each image")
    table = np.empty((count, 1 + width), np.uint8)
    table[:, 0] = labels
    table[:, 1:] = np.frombuffer(data, np.uint8).reshape(count, width)
    return bytearray(table.tobytes())
