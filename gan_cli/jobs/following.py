"""A run's curves while they grow."""

from __future__ import annotations

import os
from pathlib import Path

from gan_cli import foreign
from gan_cli.foreign import ForeignError

MOST = 64 << 20  # bytes that are read at once


class Curves:
    """Reads what is new in a metrics.jsonl; starts over when the file was replaced or cut.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._read = 0, 0  # inode, and bytes of it that were read

    def new(self) -> list[dict[str, float]]:
        """The numbers of each point since the last call, whole lines only."""
        try:
            with foreign.open_file(self.path) as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._file or found.st_size < self._read:
                    self._file, self._read = found.st_ino, 0
                file.seek(self._read)
                content = file.read(MOST)
        except (FileNotFoundError, ForeignError):
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return [point for line in whole.splitlines() if (point := _point(line)) is not None]


def _point(line: bytes) -> dict[str, float] | None:
    found = foreign.point(line)
    return None if found is None else {"step": found[0], **found[1]}
