"""The curves of a run that goes on: what came after its checkpoint is drawn anew."""

from __future__ import annotations

import json
from pathlib import Path

from gan_cli import atomic, foreign
from gan_cli.errors import CheckpointError


def trim(path: Path, step: int) -> int:
    """Drop from a metrics.jsonl the points after `step`, and lines that a crash cut off.

    Returns:
        How many lines were dropped.

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
        atomic.write(path, b"".join(kept), CheckpointError)
    return dropped


def _belongs(line: bytes, step: int) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        point = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(point, dict):
        return False
    at = point.get("step")
    return not isinstance(at, int | float) or at <= step
