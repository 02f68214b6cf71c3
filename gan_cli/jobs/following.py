"""A run's curves while they grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Curves:
    """Reads what is new in a metrics.jsonl; starts over when the file was replaced or cut.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._read = 0, 0  # inode, and bytes of it that were read

    def new(self) -> list[dict[str, Any]]:
        """The points since the last call, whole lines only."""
        try:
            with self.path.open("rb") as file:
                found = self.path.stat()
                if found.st_ino != self._file or found.st_size < self._read:
                    self._file, self._read = found.st_ino, 0
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return [point for line in whole.splitlines() if (point := _point(line)) is not None]


def _point(line: bytes) -> dict[str, Any] | None:
    try:
        point = json.loads(line)
    except ValueError:
        return None  # a line that a crash cut off, before the run went on
    return point if isinstance(point, dict) and "step" in point else None
