"""metrics.jsonl: truncated on resume, read while it grows."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gan_cli import files, foreign
from gan_cli.errors import CheckpointError
from gan_cli.foreign import ForeignError


def trim(path: Path, step: int) -> int:
    """Drop from a metrics.jsonl the points after `step`, and lines cut off by a crash.

    Returns:
        The number of lines dropped.

    Raises:
        CheckpointError: the file cannot be read or written; it is as it was.
    """
    kept, dropped = [], 0
    try:
        with foreign.open_file(path) as lines:
            for line in lines:
                if _belongs(line, step):
                    kept.append(line)
                else:
                    dropped += 1
    except FileNotFoundError:
        return 0
    if dropped:
        files.write(path, b"".join(kept), CheckpointError)
    return dropped


def _belongs(line: bytes, step: int) -> bool:
    try:
        point = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(point, dict) or not line.endswith(b"\n"):
        return False
    at = point.get("step")
    return not isinstance(at, int | float) or at <= step


MOST = 64 << 20  # bytes that are read at once


class Curves:
    """Reader of new points in a metrics.jsonl; starts over when the file was replaced or cut.

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
        points = filter(None, map(foreign.point, whole.splitlines()))
        return [{"step": step, **values} for step, values in points]


def by_step(path: Path) -> dict[float, dict[str, float]]:
    """All points of a metrics.jsonl, one for each step: with what its evaluation gave."""
    reader, found = Curves(path), dict[float, dict[str, float]]()
    while new := reader.new():
        for point in new:
            found.setdefault(point["step"], {}).update(point)
    return found
