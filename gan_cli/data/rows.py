"""Rows of a table in a file, read one by one where they are wanted.

Beside mapping the file into memory this keeps no page of it in the process, reads nothing but the
rows (a mapped file reads on beyond each), and meets a file that was cut short or a broken disk
with an error, where the mapping would end the process by a signal.
"""

from __future__ import annotations

import math
import os
import weakref
from pathlib import Path

from torch import Tensor

from gan_cli.errors import DataError


class Rows:
    """The rows of a table of bytes [N, *shape], nothing else in the file.

    Args:
        path: the file.
        shape: of a row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.bytes_each = path, math.prod(shape)
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as cause:
            raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
        weakref.finalize(self, os.close, self._file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def read(self, index: Tensor, out: Tensor) -> None:
        """Fill `out`, uint8 [n, *shape] on the CPU, with the rows at `index` [n].

        Raises:
            DataError: the file ends before, or cannot be read.
        """
        size, view = self.bytes_each, out.numpy().data.cast("B")
        for place, row in enumerate(index.tolist()):
            target = view[place * size : (place + 1) * size]
            try:
                got = os.preadv(self._file, [target], row * size)
            except OSError as cause:
                raise DataError(
                    f"{self.path}: row {row:,} cannot be read: {cause.strerror or cause}"
                ) from cause
            if got != size:
                raise DataError(
                    f"{self.path}: ends before row {row:,}: it was cut short while it was in use; "
                    "remove its folder and start again, which makes it anew"
                )
