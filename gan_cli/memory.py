"""How much memory there is, and how much this process takes."""

from __future__ import annotations

import os
from pathlib import Path

STATUS = Path("/proc/self/status")  # Linux's
CURVES = {"RssAnon": "memory/own_megabytes", "RssFile": "memory/files_megabytes"}


def total_memory() -> int:
    """Bytes of the machine's memory; no bound where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 62


def resident() -> dict[str, float]:
    """What of this process lies in memory, as points of curves; nothing where it is not told.

    Pages of files, such as mapped images, are counted apart: the system takes them back when it
    needs room.
    """
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        curve: float(fields[field].split()[0]) * 1024 / 1e6
        for field, curve in CURVES.items()
        if field in fields
    }
