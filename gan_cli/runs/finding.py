"""Where run folders are."""

from __future__ import annotations

import difflib
import os
from datetime import UTC, datetime
from pathlib import Path

from gan_cli import foreign
from gan_cli.errors import CheckpointError

HOLDS = "a run folder holds config.yaml, status.json and checkpoints/"
DEFAULT_ROOT = Path("runs")
LAST = "last.pt"  # the newest checkpoint of a run


def is_run(path: Path) -> bool:
    """Whether a run was started in the folder `path`."""
    return (path / "status.json").is_file() or any((path / "checkpoints").glob("*.pt"))


def branches(resume: object) -> bool:
    """Whether a `resume` names another checkpoint than the last, where a new run begins."""
    if not isinstance(resume, str) or not resume.endswith(".pt"):
        return False
    return Path(resume).name != LAST and not Path(resume).is_dir()


def locate(path: Path | str) -> Path:
    """The run at `path`: its folder, its checkpoints folder, or a file inside either.

    Raises:
        CheckpointError: there is none; the message names the nearest ones.
    """
    if not str(path).strip():  # `Path("")` would be the current folder
        raise CheckpointError("a run folder must be named; what was given is empty")
    path = Path(path)
    if is_run(path):
        return path
    for parent in list(path.absolute().parents)[:2] if path.exists() else []:
        if is_run(parent):
            return parent if path.is_absolute() else Path(os.path.relpath(parent))
    if runs := below(path):
        raise CheckpointError(f"{path}: is no run folder; the newest below it is {runs[-1]}")
    missing = HOLDS if path.exists() else "no such folder"
    raise CheckpointError(f"{path}: is no run folder: {missing}{_near(path)}")


def _near(path: Path) -> str:
    around = next(parent for parent in (*path.parents, Path()) if parent.is_dir())
    nearby = [] if around == Path("/") else below(around, depth=2)
    runs = [*below(DEFAULT_ROOT), *nearby]
    names = {str(run): run for run in runs} | {run.name: run for run in runs}
    close = [*difflib.get_close_matches(str(path), names, 3, 0.7)]
    close += difflib.get_close_matches(path.name, names, 3, 0.7)
    found = list(dict.fromkeys(names[name] for name in close))[:3]
    if found:
        return f" (did you mean {' or '.join(map(str, found))}?)"
    return f"; the newest run is {runs[-1]}" if (runs := below(DEFAULT_ROOT)) else ""


def below(root: Path, depth: int = 3) -> list[Path]:
    """The run folders at most `depth` levels below `root`, oldest first."""
    found: list[tuple[str, str, Path]] = []
    level = [root]
    for _ in range(depth):
        level = [child for folder in level for child in _folders(folder)]
        found += [(_started(path), path.name, path) for path in level if is_run(path)]
        level = [path for path in level if not is_run(path)]
    return [path for *_, path in sorted(found)]


def _folders(folder: Path) -> list[Path]:
    try:
        return [
            path
            for path in folder.iterdir()
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
        ]
    except OSError:
        return []  # not a folder, or not ours to read: no runs of the user's


def _started(path: Path) -> str:
    try:
        return str(foreign.read_json(path / "status.json")["started"])
    except (OSError, CheckpointError, KeyError, TypeError):
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return changed.isoformat(timespec="seconds")
