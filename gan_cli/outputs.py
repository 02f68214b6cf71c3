"""Folders that this program has filled: runs, sweeps, studies. Others may have written what is in
them, so nothing there is ever code.
"""

from __future__ import annotations

from pathlib import Path

MARKS = ("sweep.json", "study.json")


def is_output(folder: Path) -> bool:
    """Whether `folder` is a run, a sweep or a study."""
    if any((folder / name).is_file() for name in MARKS):
        return True
    return (folder / "status.json").is_file() and (folder / "config.yaml").is_file()


def output_around(place: Path) -> Path | None:
    """The run, sweep or study that `place` is or lies in, also through links; None where none."""
    for path in dict.fromkeys((place.absolute(), place.resolve())):
        for folder in (path, *path.parents):
            if is_output(folder):
                return folder
    return None
